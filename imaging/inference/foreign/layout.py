"""Names of what lies in the private folder of one run; the parent and its child agree on them. Constants alone.

The child reads this before its walls are up, when no library may be loaded yet.
"""

REQUEST = "request.json"
INPUT = "input"
IMAGE = "ct.nii.gz"
BUNDLE = "bundle"
WORK = "work"
ANSWER = "answer.json"
LABELS = "labels.npy"
CERTAINTY = "certainty.npy"

RUN = "run"
CHECK_WEIGHTS = "check-weights"
