"""A summary with a pair of units, for the tests of tables and of the page."""

from __future__ import annotations

from quant.cascade.artefacts import CurvePoint, Measure
from quant.cascade.decide import Alternative, Decision
from toolflow.engine.config import EngineConfig
from toolflow.engine.cycles import CycleReport, InstructionCycles
from toolflow.engine.isa import Opcode
from toolflow.ir.unit import DesignKind, UnitName
from toolflow.plan.resources.count import ResourceCount
from toolflow.report.from_artefacts import installed_versions, resources_section, run_section
from toolflow.report.summary import Board, Cascade, LevelAccuracy, LevelCheck, Model, Summary, Unit, Variant

CONFIG = EngineConfig(lanes_k=16, lanes_p=8)
PREDICTED = CycleReport(
    images=8,
    passes=1,
    total_cycles=1000,
    instructions=(
        InstructionCycles("load", Opcode.LOAD, 100, "memory", 0, 0.0),
        InstructionCycles("conv1", Opcode.CONV, 800, "array", 64000, 0.625),
    ),
    utilisation=0.5,
)


def measure(images: int, forwarded: int) -> Measure:
    share = forwarded / images
    return Measure(
        images=images, labelled=True, float_accuracy=0.8807, low_accuracy=0.85, high_accuracy=0.88,
        cascade_accuracy=0.8765, forwarded=forwarded, forwarded_share=share,
        forwarded_interval=(share - 0.01, share + 0.01), lost=9, gained=2, loss=0.0035,
        loss_interval=(0.0011, 0.0062), interval_confidence=0.95,
    )  # fmt: skip


def cascade(held_out: Measure | None) -> Cascade:
    return Cascade(
        m=1, n=2, k=800, threshold=19784, threshold_share=19784 / 65536, temperature=1.0, tolerance=0.005, margin=None,
        estimate="modelled", expected_loss=0.0048, calibration=measure(1000, 190), held_out=held_out,
        curve=tuple(CurvePoint(threshold=t, forwarded_share=t / 9, accuracy=0.85 + t / 300) for t in range(10)),
        warnings=("1,000 calibration images are too few",),
    )  # fmt: skip


DECISION = Decision(
    choice=DesignKind.RESIDENT_PAIR, cycles_per_image=60.0, forwarded_share=0.188, speedup=100 / 60, cascade_pays=True,
    alternatives=(
        Alternative(
            design=DesignKind.SINGLE_LOW, cycles_per_image=40.0, keeps=False,
            accuracy=0.8, loss=0.08, loss_interval=(0.07, 0.09)
        ),
        Alternative(
            design=DesignKind.RESIDENT_PAIR, cycles_per_image=60.0, keeps=True,
            accuracy=0.87, loss=0.01, loss_interval=(0, 0.02)
        ),
        Alternative(
            design=DesignKind.SINGLE_HIGH, cycles_per_image=100.0, keeps=True,
            accuracy=0.88, loss=0, loss_interval=(0, 0)
        ),
    ),
    warnings=("1,000 calibration images are too few",), reason="it is faster",
)  # fmt: skip


def summary() -> Summary:
    predicted = resources_section(ResourceCount(luts=5000, flip_flops=7000, dsps=128, block_rams=40.5))
    unit = Unit(
        unit=UnitName.LOW, engine=CONFIG, signature=f"{CONFIG.signature:016x}",
        multipliers=CONFIG.multipliers, program_sha256="a", weights_sha256="b", program_bytes=4096, weight_bytes=65536,
        runs=(run_section(PREDICTED, CONFIG.multipliers, 200.0),), predicted=predicted,
    )  # fmt: skip
    high = Variant(
        unit=UnitName.HIGH, weight_bits=8, activation_bits=8, first_last_bits=8, family="multiplier", sha256="c"
    )
    low = high.model_copy(update={"unit": UnitName.LOW, "weight_bits": 4, "activation_bits": 4})
    return Summary(
        made_by="cascade-toolflow 0.1.0", versions=dict(installed_versions()),
        model=Model(
            name="resnet20", source="resnet.py:resnet20", input_shape=(3, 32, 32), classes=10, parameters=269722,
            macs=40551424,
        ),
        board=Board(name="zcu104", part="xczu7ev", clock_mhz=200.0, usable=predicted),
        variants=(low, high),
        accuracy=(
            LevelAccuracy(level="float", unit="model", images=5000, accuracy=0.8807, labelled=True),
            LevelAccuracy(level="reference", unit="cascade", images=5000, accuracy=0.9, labelled=False),
        ),
        cascade=cascade(measure(5000, 940)),
        decision=DECISION,
        units=(unit, unit.model_copy(update={"unit": UnitName.HIGH})),
        cycles_per_image=125.0, images_per_second=1.6e6,
        verification=(
            LevelCheck(level="program", unit=UnitName.LOW, images=8, equal=True, seconds=1.25),
            LevelCheck(level="rtl", unit=UnitName.LOW, images=8, equal=False, detail="'conv1', image 3, (2, 0, 1)"),
            LevelCheck(level="vendor", unit=UnitName.LOW, images=8, equal=None, detail="no vendor tool on PATH"),
        ),
    )  # fmt: skip
