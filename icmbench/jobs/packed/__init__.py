"""Trainings on another machine, from one folder: packed here, run there in pieces, unpacked here.

The functions that train are those of the rules, with the arguments that the rules would give them.
"""
