"""Completing files: pictures in, pictures, a table and a contact sheet out."""

from imcomp.prediction.inputs import Inputs, find_inputs
from imcomp.prediction.jobs import list_jobs
from imcomp.prediction.running import Report, predict

__all__ = ["Inputs", "Report", "find_inputs", "list_jobs", "predict"]
