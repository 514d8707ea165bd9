"""The other end of every wire, with faults. Knows no other package of the program."""
