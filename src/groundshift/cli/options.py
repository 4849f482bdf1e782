"""The options of the command line: those that commands share, and the registry of ``change`` and ``S2-CD``.

Explanations and defaults are not here but at the field of a job (:mod:`groundshift.pipelines.job`) that an option sets,
so the command line, the job file and the library cannot drift apart. Those of ``change``:

====================  =========================  ======================
option                sets                       to
====================  =========================  ======================
--bands, -b           grid.bands                 B2,B3,...
--aoi                 grid.aoi                   WKT|FILE
--resolution, -r      grid.resolution            METRES
--projection          grid.projection            native|EPSG:N|WKT
--band-order          input.band_order           B2,B3,...
--scale               input.scale                DN
--offset              input.offset               DN
--mask-before         input.mask_before          FILE
--mask-after          input.mask_after           FILE
--trust               input.trust                metadata|pixels
--no-verify           input.verify               false
--mask-classes        mask.classes               0,1,3,...
--cloud-dilation      mask.cloud_dilation_m      METRES
--shadow-dilation     mask.shadow_dilation_m     METRES
--regression          normalise.method           orthogonal|robust|none
--sample-pixels       normalise.sample_pixels    N
--stats-extent        normalise.extent           full|aoi
--seed                normalise.seed             N
--method              detect.method              cva|network|...
--network-weights     detect.network_weights     FILE
--normalization       detect.normalization       full|diag
--estimator           detect.estimator           robust|textbook
--context             detect.context             region|none
--confidence          detect.confidence          PERCENT
--fdr                 detect.fdr                 SHARE
--min-area            detect.min_area            M2
--classes             kinds.classes              N
--reference-vector    kinds.reference_vector     first|...|1,0,0,0
--smooth              kinds.smooth_px            PIXELS
--outdir, -o          output.outdir              FOLDER
--format              output.format              COG|GTiff|...
--p-value             output.p_value             true
--force               output.force               true
--memory              run.memory                 2G
--workers             run.workers                N
--scheduler           run.scheduler              local|tcp://...
--strict              run.strict                 true
====================  =========================  ======================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic.fields import FieldInfo

from groundshift.errors import UsageError
from groundshift.pipelines.job import ChangeJob
from groundshift.pipelines.jobfile import Job, fields, make_job


def explained(field: FieldInfo) -> str:
    """The explanation of a field, and its default unless it is a switch."""
    text = " ".join((field.description or "").split())
    default = None if field.is_required() else field.get_default()
    if default in (None, ()) or isinstance(default, bool):
        return text
    shown = ",".join(str(item) for item in default) if isinstance(default, tuple) else str(default)
    return f"{text} [default: {shown}]"


@dataclass(frozen=True)
class JobOption:
    """One option that sets one field of a job."""

    flags: tuple[str, ...]
    """Long name first."""
    key: str
    """Dotted name of the field; empty: it sets none."""
    metavar: str = ""
    """What the value looks like; empty for a switch."""
    const: bool | None = None
    """What a switch sets; None: the option takes a value."""
    told: str = ""
    """Its explanation, where that of the field does not say it."""
    several: bool = False
    """Whether it can be given more than once."""

    @property
    def name(self) -> str:
        """The long name as an identifier: ``--min-area`` is ``min_area``."""
        return self.flags[0].removeprefix("--").replace("-", "_")

    def help(self, kind: type[Job] = ChangeJob) -> str:
        """The explanation of the field in a kind of job, and its default."""
        if self.told:
            return self.told
        text = explained(fields(kind)[self.key])
        return text if self.const is not False else f"Do not {text[0].lower()}{text[1:]}"


Group = tuple[JobOption, ...]

BANDS = JobOption(("--bands", "-b"), "grid.bands", "B2,B3,...")
AOI = JobOption(("--aoi",), "grid.aoi", "WKT|FILE")
RESOLUTION = JobOption(("--resolution", "-r"), "grid.resolution", "METRES")
PROJECTION = JobOption(("--projection",), "grid.projection", "native|EPSG:N|WKT")

PLAIN_RASTERS: Group = (
    JobOption(("--band-order",), "input.band_order", "B2,B3,..."),
    JobOption(("--scale",), "input.scale", "DN"),
    JobOption(("--offset",), "input.offset", "DN"),
)
TRUST = JobOption(("--trust",), "input.trust", "metadata|pixels")
NO_VERIFY = JobOption(("--no-verify",), "input.verify", const=False)

WHICH_SCENES: Group = (
    JobOption(("--dates",), "input.dates", "FIRST/LAST"),
    JobOption(("--max-cloud",), "input.max_cloud", "PERCENT"),
)
CLOUDS = JobOption(("--clouds",), "clouds.mask", "auto|scl|unet|...")
CLOUD_WEIGHTS = JobOption(("--weights",), "clouds.weights", "FILE")
NO_SHADOWS = JobOption(("--no-shadows",), "clouds.shadows", const=False)
MASK_CLASSES: Group = (
    JobOption(("--mask-classes",), "clouds.classes", "0,1,3,..."),
    JobOption(("--cloud-dilation",), "clouds.cloud_dilation_m", "METRES"),
    JobOption(("--shadow-dilation",), "clouds.shadow_dilation_m", "METRES"),
)

REGRESSION = JobOption(("--regression",), "normalise.method", "orthogonal|robust|none")
SAMPLE_PIXELS = JobOption(("--sample-pixels",), "normalise.sample_pixels", "N")
SEED = JobOption(("--seed",), "normalise.seed", "N")
NETWORK_WEIGHTS = JobOption(("--network-weights",), "detect.network_weights", "FILE")
MIN_AREA = JobOption(("--min-area",), "detect.min_area", "M2")

OUTDIR = JobOption(("--outdir", "-o"), "output.outdir", "FOLDER")
FORMAT = JobOption(("--format",), "output.format", "COG|GTiff|...")
FORCE = JobOption(("--force",), "output.force", const=True)

RESUME = JobOption(
    ("--resume",), "", const=True, told="Go on where an interrupted run of this job was; that is done in any case."
)
RUNNING: Group = (
    JobOption(("--memory",), "run.memory", "2G"),
    JobOption(("--workers",), "run.workers", "N"),
    JobOption(("--scheduler",), "run.scheduler", "local|tcp://HOST:PORT"),
    JobOption(("--strict",), "run.strict", const=True),
)

GROUPS: dict[str, Group] = {
    "Grid": (BANDS, AOI, RESOLUTION, PROJECTION),
    "Reading": (
        *PLAIN_RASTERS,
        JobOption(("--mask-before",), "input.mask_before", "FILE"),
        JobOption(("--mask-after",), "input.mask_after", "FILE"),
        TRUST,
        NO_VERIFY,
    ),
    "Masking": (
        JobOption(("--mask-classes",), "mask.classes", "0,1,3,..."),
        JobOption(("--cloud-dilation",), "mask.cloud_dilation_m", "METRES"),
        JobOption(("--shadow-dilation",), "mask.shadow_dilation_m", "METRES"),
    ),
    "Normalisation": (
        REGRESSION,
        SAMPLE_PIXELS,
        JobOption(("--stats-extent",), "normalise.extent", "full|aoi"),
        SEED,
    ),
    "Detection": (
        JobOption(("--method",), "detect.method", "cva|irmad|network|..."),
        NETWORK_WEIGHTS,
        JobOption(("--normalization",), "detect.normalization", "full|diag"),
        JobOption(("--estimator",), "detect.estimator", "robust|textbook"),
        JobOption(("--context",), "detect.context", "region|none"),
        JobOption(("--confidence",), "detect.confidence", "PERCENT"),
        JobOption(("--fdr",), "detect.fdr", "SHARE"),
        MIN_AREA,
    ),
    "Kinds of change": (
        JobOption(("--classes",), "kinds.classes", "N"),
        JobOption(("--reference-vector",), "kinds.reference_vector", "first|...|1,0,0,0"),
        JobOption(("--smooth",), "kinds.smooth_px", "PIXELS"),
    ),
    "Results": (OUTDIR, FORMAT, JobOption(("--p-value",), "output.p_value", const=True), FORCE),
    "Running": RUNNING,
}
"""Every option of ``change`` by the heading that help shows it under."""

OPTIONS: Group = tuple(option for group in GROUPS.values() for option in group)
"""Each of them, once."""

ARGUMENTS = {"input.before": "BEFORE", "input.after": "AFTER"}
"""Fields that are arguments, and what help calls them."""


def flag_of(key: str) -> str:
    """What the command line calls a field of a job: ``detect.fdr`` is ``--fdr``."""
    flags = {option.key: option.flags[0] for option in OPTIONS}
    return ARGUMENTS.get(key) or flags.get(key, key)


def job_of(given: Mapping[str, object], flags: Mapping[str, str] | None = None) -> ChangeJob:
    """Make a job of options by dotted name, as written on a command line.

    Args:
        given: values by dotted name; None means not given.
        flags: what this command calls the fields, where that is not :func:`flag_of`.

    Raises:
        UsageError: an option does not fit; it names the flag.
    """
    own = flags or {}
    job = make_job(given, lambda key: own.get(key) or flag_of(key), UsageError)
    vector = _padded(job.kinds.reference_vector, len(job.grid.bands))
    return job.model_copy(update={"kinds": job.kinds.model_copy(update={"reference_vector": vector})})


def _padded(vector: str, bands: int) -> str:
    """Write out a vector that ends in dots: ``1,0,...`` is ``1,0,0,0`` with four bands."""
    words = [word.strip() for word in vector.split(",")]
    if words[-1] != "...":
        return vector
    return ",".join([*words[:-1], *["0"] * (bands - len(words) + 1)])
