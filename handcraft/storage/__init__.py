"""Files: HDF5 arrays that can be memory-mapped, the manifest, atomic writes and the writer's lock."""
