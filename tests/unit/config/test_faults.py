"""Every fault in shipway.yaml is told once, at its place, in words that say what to do; all of them together."""

from pathlib import Path
from textwrap import dedent

import pytest

from shipway.config.files import load_project
from shipway.errors import ConfigError

OK = "project: p\nstages:\n  a: {run: make}\n"
"""Three lines, so that what is added begins on the fourth."""

STAGES = "project: p\nstages:\n"

ONE_FAULT = {
    # The text itself
    "empty file": ("", "1:1: the file is empty"),
    "only comments": ("# nothing yet\n", "1:1: the file is empty"),
    "a list": ("- a\n", "1:1: a list stands here, not a mapping (begin with `project: NAME`)"),
    "a word": ("project\n", "1:1: 'project' stands here, not a mapping (begin with `project: NAME`)"),
    "nothing": ("~\n", "1:1: nothing stands here, not a mapping (begin with `project: NAME`)"),
    "tab": ("project: p\nstages:\n\ta: {run: make}\n", "3:1: a tab stands here; YAML is indented with spaces"),
    "latin-1": (b"project: caf\xe9\n", "1:13: byte 0xe9 is not UTF-8 (save the file as UTF-8)"),
    "utf-16": ("project: p\n".encode("utf-16"), "1:1: byte 0xff is not UTF-8 (save the file as UTF-8)"),
    "control character": ("project: p\n#\x07\n", "2:2: character 0x07 may not stand in YAML"),
    "huge": (b"#" * (1 << 20) + b"\n", "1:1: the file has 1048577 bytes; 1048576 is the most"),
    "open bracket": ("project: [p\n", "2:1: not YAML: did not find expected ',' or ']', while parsing a flow sequence that begins on line 1"),
    "colon in a word": ("project: a: b\n", "1:11: not YAML: mapping values are not allowed in this context"),
    "two documents": (OK + "---\nproject: q\n", "4:1: a second document begins here; the file has one"),
    "deep nesting": ("project: " + "[" * 200, "1:50: nested deeper than 40"),
    "python tag": ("project: !!python/name:os.system x\n" + OK[11:], "1:10: project: tags are not read here: tag:yaml.org,2002:python/name:os.system"),
    "list as key": ("project: p\n? [a]\n: b\n", "2:3: a key must be one word (quote a text that holds brackets or a star)"),
    "duplicate key": (OK + "project: q\n", "4:1: project: stands here twice; the first is on line 1"),
    "unknown alias": (OK + "env: *x\n", "4:6: env: nothing is anchored as &x above"),
    "alias in itself": (OK + "env: &x {A: *x}\n", "4:13: env.A: *x would hold itself"),
    "anchor twice": (OK + "env: {A: &x a, B: &x b}\n", "4:19: env.B: &x is anchored twice"),
    "merged word": (OK + "env: {<<: word}\n", "4:11: env.<<: only mappings can be merged"),
    "NUL": (OK + 'env: {A: "\\0"}\n', "4:10: env.A: a NUL character may not stand in a text"),
    # Names and keys
    "no project": ("stages: {a: {run: make}}\n", "1:1: the key 'project' is missing"),
    "no stages": ("project: p\n", "1:1: the key 'stages' is missing"),
    "empty stages": ("project: p\nstages: {}\n", "2:9: stages: there is no stage in it"),
    "null stages": ("project: p\nstages:\n", "2:8: stages: nothing stands here (give it a value, or leave the key out)"),
    "unknown key": (OK + "endpoint: {}\n", "4:1: unknown key 'endpoint' (did you mean 'endpoints'?)"),
    "unknown stage key": (STAGES + "  a: {run: make, ouputs: [x]}\n", "3:18: stages.a: unknown key 'ouputs' (did you mean 'outputs'?)"),
    "unlike any key": (STAGES + "  a: {run: make, zzz: 1}\n", "3:18: stages.a: unknown key 'zzz' (known here: run, inputs, outputs, params, metrics, plots, samples, on, environment, env, secrets, resources, tracked)"),
    "later version": (OK + "data: {}\n", "4:1: 'data': data repositories are not in this version (known here: project, environment, stages, sites, model, gate, endpoints, store, tracking, journal, env, secrets)"),
    "dockerfile": (OK + "environment: {dockerfile: Dockerfile}\n", "4:15: environment: 'dockerfile': building images is not in this version (known here: requirements, python)"),
    "image in a stage": (STAGES + "  a: {run: make, environment: {image: x}}\n", "3:32: stages.a.environment: 'image': running in an image is not in this version (known here: requirements, python)"),
    "bad project name": ("project: my project\nstages: {a: {run: make}}\n", "1:10: project: 'my project' is not a name (1 to 63 letters, digits, '-' and '_', the first a letter or digit)"),
    "bad stage name": (STAGES + "  a.b: {run: make}\n", "3:3: stages: 'a.b' is not a name (1 to 63 letters, digits, '-' and '_', the first a letter or digit)"),
    "number as project": ("project: 7\nstages: {a: {run: make}}\n", "1:10: project: 7 is not a text (put it in quotes)"),
    # Commands
    "no run": (STAGES + "  a: {inputs: []}\n", "3:6: stages.a: the key 'run' is missing"),
    "stage as a word": (STAGES + "  a: make\n", "3:6: stages.a: 'make' stands where a mapping is expected"),
    "empty run": (STAGES + '  a: {run: " "}\n', "3:12: stages.a.run: an empty text stands here"),
    "empty argv": (STAGES + "  a: {run: []}\n", "3:12: stages.a.run: an empty list is no command"),
    "boolean run": (STAGES + "  a: {run: true}\n", "3:12: stages.a.run: true is a boolean, not a text (write 'true' in quotes if you mean the word)"),
    "inputs as a mapping": (STAGES + "  a: {run: make, inputs: {x: y}}\n", "3:26: stages.a.inputs: a mapping stands where a list is expected"),
    "empty inputs": (STAGES + "  a: {run: make, inputs: }\n", "3:26: stages.a.inputs: nothing stands here (give it a value, or leave the key out)"),
    "tracked by word": (STAGES + "  a: {run: make, tracked: yes}\n", "3:27: stages.a.tracked: 'yes' is not true or false"),
    # Quantities
    "negative gpus": (STAGES + "  a: {run: make, resources: {gpus: -1}}\n", "3:36: stages.a.resources.gpus: -1 is below 0"),
    "no cpu": (STAGES + "  a: {run: make, resources: {cpus: 0}}\n", "3:36: stages.a.resources.cpus: 0 is below 1"),
    "half a cpu": (STAGES + "  a: {run: make, resources: {cpus: 0.5}}\n", "3:36: stages.a.resources.cpus: 0.5 is not a whole number"),
    "huge number": (STAGES + f"  a: {{run: make, resources: {{cpus: {'9' * 5000}}}}}\n", f"3:36: stages.a.resources.cpus: {'9' * 40} is too large; whole numbers have 64 bits"),
    "memory without unit": (STAGES + "  a: {run: make, resources: {memory: 32}}\n", "3:38: stages.a.resources.memory: 32 has no unit (write it like 32GiB)"),
    "memory in words": (STAGES + "  a: {run: make, resources: {memory: lots}}\n", "3:38: stages.a.resources.memory: 'lots' is not a size (write it like 512MiB, 32GiB or 64GB)"),
    "memory as Kubernetes writes it": (STAGES + "  a: {run: make, resources: {memory: 32Gi}}\n", "3:38: stages.a.resources.memory: '32Gi' has the unknown unit 'Gi' (did you mean '32GiB'?)"),
    "time without unit": (STAGES + "  a: {run: make, resources: {time: 90}}\n", "3:36: stages.a.resources.time: 90 has no unit (write it like 90s or 4h)"),
    "time as SLURM writes it": (STAGES + '  a: {run: make, resources: {time: "1-12:30:00"}}\n', "3:36: stages.a.resources.time: '1-12:30:00' is not a duration (did you mean '1d12h30m'?)"),
    "no time": (STAGES + "  a: {run: make, resources: {time: 0s}}\n", "3:36: stages.a.resources.time: no time at all is left by 0"),
    "endless": (STAGES + "  a: {run: make, resources: {time: 9999999d}}\n", "3:36: stages.a.resources.time: '9999999d' is longer than 366 days"),
    # Paths
    "output above": (STAGES + "  a: {run: make, outputs: [../x]}\n", "3:28: stages.a.outputs[0]: '../x' leads out of the project"),
    "output out and back": (STAGES + "  a: {run: make, outputs: [x/../../y]}\n", "3:28: stages.a.outputs[0]: 'x/../../y' leads out of the project"),
    "absolute output": (STAGES + "  a: {run: make, outputs: /tmp/x}\n", "3:27: stages.a.outputs: '/tmp/x' is not in the project (write it relative to shipway.yaml)"),
    "output at home": (STAGES + "  a: {run: make, outputs: ~/x}\n", "3:27: stages.a.outputs: '~/x' is not in the project (write it relative to shipway.yaml)"),
    "output in git": (STAGES + "  a: {run: make, outputs: [.git/hooks]}\n", "3:28: stages.a.outputs[0]: '.git/hooks' lies in .git, which no stage may touch"),
    "output in our own": (STAGES + "  a: {run: make, metrics: [./.shipway/m.json]}\n", "3:28: stages.a.metrics[0]: './.shipway/m.json' lies in .shipway, which no stage may touch"),
    "project as output": (STAGES + "  a: {run: make, inputs: [], outputs: [.]}\n", "3:40: stages.a.outputs[0]: '.' cannot be an output"),
    "params.yaml as output": (STAGES + "  a: {run: make, outputs: [params.yaml]}\n", "3:28: stages.a.outputs[0]: 'params.yaml' cannot be an output"),
    "glob as output": (STAGES + '  a: {run: make, outputs: ["out/*.csv"]}\n', "3:28: stages.a.outputs[0]: 'out/*.csv' is a pattern; an output is one file or directory"),
    "metrics as a picture": (STAGES + "  a: {run: make, metrics: [m.png]}\n", "3:28: stages.a.metrics[0]: 'm.png' is not a file that metrics are read from (.json, .jsonl or .csv)"),
    "input nobody makes": (STAGES + "  a: {run: make, inputs: [data/raw]}\n", "3:27: stages.a.inputs[0]: 'data/raw': it is not there, and no stage makes it"),
    "only input nobody makes": (STAGES + "  a: {run: make, inputs: data/raw}\n", "3:26: stages.a.inputs: 'data/raw': it is not there, and no stage makes it"),
    "glob without a match": (STAGES + '  a: {run: make, inputs: ["src/**/*.py"]}\n', "3:27: stages.a.inputs[0]: 'src/**/*.py': no file matches it, and no stage makes it"),
    "requirements": (OK + "environment: {requirements: reqs.txt}\n", "4:29: environment.requirements: 'reqs.txt': there is no such file"),
    "requirements of a stage": (STAGES + "  a: {run: make, environment: {requirements: reqs.txt}}\n", "3:46: stages.a.environment.requirements: 'reqs.txt': there is no such file"),
    "one output twice": (STAGES + "  a: {run: make, outputs: [x]}\n  b: {run: make, outputs: [x/]}\n", "4:28: stages.b.outputs[0]: 'x' is an output of stage a already"),
    "output in an output": (STAGES + "  a: {run: make, outputs: [x]}\n  b: {run: make, plots: [x/y]}\n", "4:26: stages.b.plots[0]: 'x/y' lies in 'x', an output of stage a"),
    "output around an output": (STAGES + "  a: {run: make, outputs: [x/y]}\n  b: {run: make, outputs: [x]}\n", "4:28: stages.b.outputs[0]: 'x' holds 'x/y', an output of stage a"),
    "own output in an output": (STAGES + "  a: {run: make, outputs: [x], metrics: [x/m.json]}\n", "3:42: stages.a.metrics[0]: 'x/m.json' lies in 'x', an output of this stage"),
    "reads its own output": (STAGES + "  a: {run: make, inputs: [x], outputs: [x]}\n", "3:27: stages.a.inputs[0]: the stage reads 'x', which it writes"),
    "circle": (STAGES + "  a: {run: make, inputs: [z], outputs: [x]}\n  b: {run: make, inputs: [x], outputs: [y]}\n  c: {run: make, inputs: [y], outputs: [z]}\n", "3:3: stages.a: stages need each other in a circle: a → b → c → a"),
    # Sites, variables
    "unknown site": (STAGES + "  a: {run: make, on: locl}\n", "3:22: stages.a.on: there is no site 'locl' (did you mean 'local'?)"),
    "slurm": (OK + "sites: {hpc: {kind: slurm, ssh: login.example.edu, partition: gpu}}\n", "4:21: sites.hpc.kind: 'slurm' is not in this version (the kind is process)"),
    "no such kind": (OK + "sites: {hpc: {kind: proces}}\n", "4:21: sites.hpc.kind: 'proces' is no kind (did you mean 'process'?)"),
    "boolean variable": (OK + "env: {DEBUG: true}\n", "4:14: env.DEBUG: true is a boolean, not a text (write 'true' in quotes if you mean the word)"),
    "variable's name": (OK + "env: {A-B: x}\n", "4:7: env: 'A-B' is not the name of a variable (letters, digits and '_', the first no digit)"),
    "secret's name": (OK + "secrets: [A B]\n", "4:11: secrets[0]: 'A B' is not the name of a variable (letters, digits and '_', the first no digit)"),
    "secret and variable": (OK + "env: {TOKEN: x}\nsecrets: TOKEN\n", "4:14: env.TOKEN: TOKEN is a secret as well (take it out of one of the two)"),
    "secret of all, variable of one": ("project: p\nsecrets: [TOKEN]\nstages:\n  a: {run: make, env: {TOKEN: x}}\n", "4:31: stages.a.env.TOKEN: TOKEN is a secret as well (take it out of one of the two)"),
    # Endpoints and the rest
    "bucket": (OK + "store: s3://bucket/x\n", "4:8: store: 's3://bucket/x': only a directory can be the store in this version"),
    "store at home": (OK + "store: ~/store\n", "4:8: store: '~/store' is not read as a shell would (write the whole path)"),
    "tracking in words": (OK + "tracking: mlflow\n", "4:11: tracking: 'mlflow' is not a tracking URI (http://…, sqlite:///…, or off)"),
    "tracking false": (OK + "tracking: false\n", "4:11: tracking: false is not a tracking URI (write off)"),
    "journal in a file": (OK + "journal: sqlite:///x\n", "4:10: journal: 'sqlite:///x' is not a PostgreSQL URL (postgresql://user@host/database; leave it out for SQLite)"),
}  # fmt: skip

SHIP = dedent("""\
    project: p
    stages:
      train: {run: make, inputs: [], outputs: [model]}
      evaluate: {run: make, inputs: [model], metrics: [m.json]}
    model: {name: m, path: model}
    """)
"""Five lines."""

SHIPPING = {
    "gate's syntax": (SHIP + "gate: [accuracy >= 0.9, accuracy = 1]\n", "6:34: gate[1]: '=' cannot stand here (write == to compare)"),
    "gate in quotes": (SHIP + "gate: ['accuracy >= ']\n", "6:21: gate[0]: the condition ends too early"),
    "gate by itself": (SHIP + "gate: accuracy >= 90%\n", "6:21: gate: '%' cannot stand here (write 0.9 for 90 %)"),
    "gate's function": (SHIP + "gate: [mean(a) > 1]\n", "6:8: gate[0]: there is no function mean (there are abs, min, max)"),
    "gate's name": (SHIP + "gate: [champion > 1]\n", "6:8: gate[0]: champion is no metric (name one: champion.accuracy)"),
    "gate on nothing": (SHIP + "gate: [1 > 2]\n", "6:8: gate[0]: the condition names no metric (it would always say the same)"),
    "gate without a model": (OK + "gate: [a > 1]\n", "4:7: gate: there is no model to judge (say which with `model: {name: …, path: …}`)"),
    "endpoint without a model": (OK + "endpoints: {e: {}}\n", "4:12: endpoints: there is no model to serve (say which with `model: {name: …, path: …}`)"),
    "model's path": (SHIP.replace("path: model", "path: modle"), "5:24: model.path: 'modle' is not an output of a stage (did you mean 'model'?)"),
    "part of an output": (SHIP.replace("path: model", "path: model/x"), "5:24: model.path: 'model/x' is not an output of a stage (it lies in 'model'; name the whole output)"),
    "model's name": (SHIP.replace("name: m", "name: champion"), "5:15: model.name: 'champion' is what the registry calls one version of a model"),
    "evaluate": (SHIP.replace("path: model}", "path: model, evaluate: eval}"), "5:41: model.evaluate: there is no stage 'eval' (did you mean 'evaluate'?)"),
    "evaluate that reads no model": (SHIP.replace("path: model}", "path: model, evaluate: train}"), "5:41: model.evaluate: stage train does not read 'model' (put it into its inputs)"),
    "evaluate without metrics": (SHIP.replace("path: model}", "path: model, evaluate: evaluate}").replace("metrics: [m.json]", "outputs: [m]") + "gate: [a > 1]\n", "5:41: model.evaluate: stage evaluate writes no metrics for the gate"),
    "no evaluation": (SHIP.replace("metrics: [m.json]", "outputs: [m]") + "gate: [a > 1]\n", "6:7: gate: no stage reads 'model' and writes metrics, so nothing can be judged"),
    "two evaluations": (SHIP.replace("model: {", "  again: {run: make, inputs: model, metrics: n.json}\nmodel: {"), "6:8: model: stages evaluate, again read 'model' and write metrics (say which judges it: `evaluate: evaluate`)"),
    "two on one port": (SHIP + "endpoints: {a: {}, b: {host: localhost}}\n", "6:23: endpoints.b.port: 8080 is taken by endpoint a"),
    "two on one port of all hosts": (SHIP + "endpoints: {a: {host: 10.0.0.1}, b: {host: 0.0.0.0, port: 8080}}\n", "6:59: endpoints.b.port: 8080 is taken by endpoint a"),
    "port 0": (SHIP + "endpoints: {a: {port: 0}}\n", "6:23: endpoints.a.port: 0 is below 1"),
    "port as text": (SHIP + "endpoints: {a: {port: '80'}}\n", "6:23: endpoints.a.port: '80' is not a whole number"),
    "host": (SHIP + "endpoints: {a: {host: 'my host'}}\n", "6:23: endpoints.a.host: 'my host' is not a host name or address"),
    "tolerance": (SHIP + "endpoints: {a: {tolerance: -1}}\n", "6:28: endpoints.a.tolerance: -1 is not a tolerance (0 or more)"),
    "tolerance NaN": (SHIP + "endpoints: {a: {tolerance: .nan}}\n", "6:28: endpoints.a.tolerance: nan is not a tolerance (0 or more)"),
    "samples of a stage that judges nothing": (SHIP.replace("outputs: [model]}", "outputs: [model], samples: s.json}"), "3:61: stages.train.samples: samples come from the stage that judges the model, which is evaluate (put the path into outputs)"),
    "samples where nothing judges": (SHIP.replace("metrics: [m.json]", "samples: s.json"), "4:51: stages.evaluate.samples: samples come from the stage that judges the model, which is none here (put `evaluate: evaluate` into `model`)"),
    "samples": (SHIP + "endpoints: {a: {samples: s.json}}\n", "6:26: endpoints.a.samples: 's.json': it is not there, and no stage makes it"),
}  # fmt: skip


def problems(directory: Path, text: str | bytes) -> tuple[str, ...]:
    (directory / "shipway.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_project(directory)
    return caught.value.problems


def test_nesting_without_an_end_is_one_fault_whoever_sees_it_first(tmp_path: Path) -> None:
    """Newer YAML readers have a limit of their own, and look ahead."""
    (problem,) = problems(tmp_path, "project: " + "[" * 200_000)
    assert problem.startswith("shipway.yaml:1:")
    assert "nest" in problem


@pytest.mark.parametrize("case", [*ONE_FAULT, *SHIPPING])
def test_a_fault_is_told_once_with_its_place_and_a_hint(case: str, tmp_path: Path) -> None:
    text, want = (ONE_FAULT | SHIPPING)[case]
    assert problems(tmp_path, text) == (f"shipway.yaml:{want}",)


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = dedent("""\
        project: x y
        stages:
          a: {run: make, inputs: [b/x], outputs: c/, resources: {gpus: -1, memory: 3gb}}
          b: {run: make, inputs: [c], outputs: [b, ../x], on: hcp, env: {N: 1, T: x}, secrets: T}
          c: {run: make}
          c: {runs: make}
        gate: [a >= 1, a => 1]
        endpoints: {a: {port: 80}, b: {port: 80}, c: {port: 0}}
        """)
    assert problems(tmp_path, text) == (
        "shipway.yaml:1:10: project: 'x y' is not a name (1 to 63 letters, digits, '-' and '_', the first a letter or digit)",
        "shipway.yaml:3:64: stages.a.resources.gpus: -1 is below 0",
        "shipway.yaml:3:76: stages.a.resources.memory: '3gb' has the unknown unit 'gb' (did you mean '3GB'?)",
        "shipway.yaml:4:44: stages.b.outputs[1]: '../x' leads out of the project",
        "shipway.yaml:4:55: stages.b.on: there is no site 'hcp' (there is local)",
        "shipway.yaml:4:75: stages.b.env.T: T is a secret as well (take it out of one of the two)",
        "shipway.yaml:6:3: stages.c: stands here twice; the first is on line 5",
        "shipway.yaml:6:6: stages.c: the key 'run' is missing",
        "shipway.yaml:6:7: stages.c: unknown key 'runs' (did you mean 'run'?)",
        "shipway.yaml:7:18: gate[1]: '=' cannot stand here (write == to compare)",
        "shipway.yaml:8:38: endpoints.b.port: 80 is taken by endpoint a",
        "shipway.yaml:8:53: endpoints.c.port: 0 is below 1",
    )


@pytest.mark.parametrize(
    "line",
    [
        "journal: postgresql://me:hunter2@db/x",
        "journal: mysql://me:hunter2@db/x",
        "journal: postgresql://db/x?user=me&password=hunter2",
        "tracking: https://me:hunter2@mlflow.example.edu",
        "journal: postgresql://me:hunter2/@db/x",
    ],
)
def test_a_password_in_a_url_is_refused_and_never_repeated(line: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, OK + line + "\n")
    assert "a password stands in the URL" in problem
    assert "hunter2" not in problem


def test_a_few_lines_cannot_become_billions_of_values(tmp_path: Path) -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = problems(tmp_path, "\n".join(lines))
    assert problem.endswith("more than 20000 values, aliases counted each time")


def test_a_fault_in_a_merged_mapping_is_told_where_it_is_written(tmp_path: Path) -> None:
    text = dedent("""\
        project: p
        stages:
          a: &base
            run: make
            resources: {gpus: -1}
          b:
            <<: *base
            run: make b
        """)
    assert problems(tmp_path, text) == (
        "shipway.yaml:5:23: stages.a.resources.gpus: -1 is below 0",
        "shipway.yaml:5:23: stages.b.resources.gpus: -1 is below 0",
    )


def test_two_circles_are_both_told(tmp_path: Path) -> None:
    text = STAGES + "".join(
        f"  {name}: {{run: make, inputs: [{read}], outputs: [{write}]}}\n"
        for name, read, write in [("a", "b.o", "a.o"), ("b", "a.o", "b.o"), ("c", "d.o", "c.o"), ("d", "c.o", "d.o")]
    )
    assert problems(tmp_path, text) == (
        "shipway.yaml:3:3: stages.a: stages need each other in a circle: a → b → a",
        "shipway.yaml:5:3: stages.c: stages need each other in a circle: c → d → c",
    )


def test_a_fault_is_one_line_whatever_the_key_holds(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, OK + '"a\\nb\\e[31m": 1\n')
    assert "\n" not in problem
    assert "\x1b" not in problem


def test_a_directory_without_a_project_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    assert caught.value.problems == (f"there is no shipway.yaml in {tmp_path} or above",)
    assert caught.value.hint == "run `shipway init` to write one"


def test_the_other_suffix_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "shipway.yml").write_text(OK)
    with pytest.raises(ConfigError) as caught:
        load_project(tmp_path)
    assert caught.value.hint == f"rename {tmp_path / 'shipway.yml'} to shipway.yaml"


def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        load_project(tmp_path / "other.yaml")
