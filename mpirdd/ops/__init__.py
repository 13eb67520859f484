"""What tasks compute: operators, both ends of a shuffle, combining, grouping, joining, sorting, partitioners and hashing."""
