"""How many wrong labels are found, and by whom: our checks beside cleanlab, FiftyOne Brain's rule and plain confidence.

``make bench-labels``. Scans, labels and errors come from ``imaging.training.spoilt`` with seeds that nothing was fitted
on; all methods see the same predictions.
"""
