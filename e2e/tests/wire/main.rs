//! Unmodified clients and tools against clusters of local processes. One module a claim's area, named `wire_*`.
