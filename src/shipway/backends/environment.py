"""What a job on this machine sees of the environment that submitted it: a short list, so that results don't hang on the rest."""

from collections.abc import Mapping

from shipway.specs.jobs import JobSpec

_PASSED = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    }
)  # fmt: skip
_PASSED_PREFIXES = ("LC_", "CUDA_", "NVIDIA_")

MARK = "SHIPWAY_JOB_DIR"
"""Carried by every process of a job, so that one which left its process group is found all the same. A job's id may be in use in several workspaces, its directory isn't."""


def job_environment(job: JobSpec, home: str, outer: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a job's command: what passes from `outer`, then the job's own words."""
    passed = {name: value for name, value in outer.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        # No PYTHONPYCACHEPREFIX: it would keep Python from the compiled files of installed packages too (`import sklearn` took 4.4 s instead of
        # 1.3 s the first time). Nor is it needed: only inputs without code are linked in, so imports write nowhere but into the job's own copy.
        "PYTHONUNBUFFERED": "1",
        **passed,
        **job.env,
        **job.secrets,
        "SHIPWAY_JOB": job.id,
        MARK: home,
    }
