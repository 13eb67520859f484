"""Blocks and bytes of one rank: the block store, the memory budget, spill files, codec, shared memory, scratch folders."""
