from toolflow.flow.steps import calibrate as calibrate
from toolflow.flow.steps import emit as emit
from toolflow.flow.steps import load as load
from toolflow.flow.steps import plan as plan
from toolflow.flow.steps import quantise as quantise
from toolflow.flow.steps import report as report
from toolflow.flow.steps import verify as verify

__version__: str

def callable_stage(package: str) -> None: ...
