"""One script a claim; each writes JSON with parameters, versions, machine and figures."""
