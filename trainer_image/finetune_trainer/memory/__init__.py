"""Bytes per device and floating-point operations per step, from architecture numbers alone.

architecture.py and families.py read a config.json, catalogue.py knows what people tune; trained.py
counts what a method trains, activations.py what autograd keeps; estimate.py adds it up and
choose.py finds the fastest way to do it in the memory there is, and sizing.py applies it to a
recipe, or says why there is none. Pure, without torch: the operator
and the command line size with it, before anything is fetched.
"""
