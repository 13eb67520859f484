"""Bytes and blocks on one rank: encoding, keeping, combining, reading and writing. Knows no other rank."""
