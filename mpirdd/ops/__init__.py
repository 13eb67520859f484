"""The computation of tasks: operators, both ends of a shuffle, combining, grouping, joining, sorting, partitioners, hashing."""
