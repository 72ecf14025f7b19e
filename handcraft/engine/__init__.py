"""The engine composes the stages; nothing else knows their order.

snapshot: opening a store. indexing, vocabularies: what writes to one. searching: what asks it.
checking: what proves it whole. store: the facade that Python users and the command line call.
describing, matching: what needs no store.
"""

from handcraft.engine.evaluating import evaluate_rankings
from handcraft.engine.matching import match
from handcraft.engine.store import Store, open

__all__ = ["Store", "evaluate_rankings", "match", "open"]
