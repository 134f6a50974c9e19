"""Timings of the kernels on made-up rows, a module for each kernel, run by asv: ``make timings``.

``time_...`` is seconds; ``peakmem_...`` is the memory of the whole process, input included. Sizes
are parameters, so that a list of times shows how each kernel grows.
"""
