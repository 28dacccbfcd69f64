"""The doctor: looks at data, reports all that is wrong with it, and mends a copy."""

from cift.data.doctor.casebook import Example, Finding
from cift.data.doctor.checking import check
from cift.data.doctor.diagnosis import Diagnosis
from cift.data.doctor.examination import Part
from cift.data.doctor.kinds import KINDS, Kind
from cift.data.doctor.repairing import Repaired, repair

__all__ = ["KINDS", "Diagnosis", "Example", "Finding", "Kind", "Part", "Repaired", "check", "repair"]
