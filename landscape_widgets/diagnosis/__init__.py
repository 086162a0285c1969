"""What a parameter vector is: minimum, saddle or neither; has the model learned, or too much."""

from landscape_widgets.diagnosis.diagnosis import Diagnosis, diagnose
from landscape_widgets.diagnosis.evidence import Evidence
from landscape_widgets.diagnosis.references import References, references
from landscape_widgets.diagnosis.verdict import Verdict

__all__ = ["Diagnosis", "Evidence", "References", "Verdict", "diagnose", "references"]
