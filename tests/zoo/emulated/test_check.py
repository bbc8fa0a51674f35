"""`zoo check`: what agrees, what differs, what can't be emulated; and that no time comes of it."""

import json
import re
from dataclasses import replace

import pytest
from pydantic import ValidationError

from targets.settings import Precision
from tests.zoo.cli.conftest import document
from tests.zoo.elsewhere.conftest import waiting
from tests.zoo.records import emulated, keep, measurement, release
from zoo.documents.limits import limits
from zoo.home import Home
from zoo.release.local import find_release
from zoo.release.measurements import Emulated, from_bytes, measurement_schema, to_bytes
from zoo.site.data import site_data
from zoo.site.source import Entry, Source
from zoo.tables.comparison import compare
from zoo.tables.formats import as_json, comma_separated, lines_beside, markdown
from zoo.use.golden import Golden, read_golden

__all__ = ["waiting"]
CHECK = ("check", "tiny", "--arch", "arm64", "--images", "4")
TIME = re.compile(r"(?<![a-z])(ms|p50|p90|p99|latency|second|speed|images_per|mj|ratio|steady|timer)", re.IGNORECASE)


def test_artifacts_that_agree_are_added_with_their_differences(built, emulator):
    calls = emulator()
    told = document("check", built.zoo(*CHECK, "-t", "onnxruntime-cpu", "--json").stdout)
    assert [(one["target"], one["precision"], one["agrees"]) for one in told["verdicts"]] == [
        ("onnxruntime-cpu", "fp32", True),
        ("onnxruntime-cpu", "int8", True),
    ]
    assert len(calls()) == 2
    assert all(line.startswith("-cpu cortex-a72 -L /") for line in calls())
    for one in told["added"]:
        assert (one["images"], one["agrees"], one["largest_difference"]) == (5, True, 0.0)
        assert (one["device"], one["emulator"]) == ("arm64 (emulated)", "qemu-aarch64 7.2.22")
    found = find_release(Home(built.home), "tiny").emulated
    assert {(one.target, one.precision) for one in found} == {
        (one["target"], one["precision"]) for one in told["added"]
    }
    shown = built.zoo("compare", "tiny").output
    assert "onnxruntime-cpu, student int8: emulated, not measured: arm64 (emulated), cortex-a72: agrees with" in shown


def test_a_graph_is_compiled_there_and_a_compiled_artifact_is_taken_as_it_is(built, emulator, tmp_path):
    jobs = tmp_path / "jobs"
    emulator(shell=f'cat "$job/job.json" >> {jobs}; echo >> {jobs}')
    assert built.zoo("check", "tiny", "--arch", "arm64", "--images", "0", "-t", "onnxruntime-cpu").exit_code == 0
    graph, compiled = (json.loads(line)["artifact"] for line in jobs.read_text().splitlines())
    assert graph == str(find_release(Home(built.home), "tiny").path.parent / "graph/model.onnx")
    assert not compiled.endswith(".onnx")  # a folder


def test_the_whole_test_set_tells_map_of_both(built, emulator):
    emulator()
    result = built.zoo("check", "tiny", "--arch", "arm64", "--all-images", "-t", "onnxruntime-cpu")
    assert result.exit_code == 0, result.output
    assert "mAP %, emulated" in result.stdout
    release = find_release(Home(built.home), "tiny")
    published = {one.precision: one.accuracy for one in release.on("onnxruntime-cpu") if one.network == "student"}
    assert {one.precision for one in release.emulated} == {"fp32", "int8"}
    for record in release.emulated:
        assert record.accuracy == record.accuracy_here == published[record.precision]
        assert record.images == 1 + release.manifest.data.query_images + release.manifest.data.gallery_images


@pytest.mark.parametrize(
    ("after", "precision", "why"),
    [
        ("embeddings[1] += 0.0002", "fp32", "embeddings differ by up to 0.0002, at most 0.0001 expected"),
        ("embeddings[2] = embeddings[0] * [1, -1] * 8", "int8", "the smallest cosine is"),
        ("embeddings[0] = np.nan", "fp32", "1 of 5 embeddings are not finite"),
        ("embeddings = embeddings[:2]", "int8", "it returns float32 2×16, not float32 5×16"),
    ],
)
def test_a_wrong_result_fails_and_says_by_how_much(built, emulator, after, precision, why):
    emulator(after.replace("[1, -1] * 8", "np.resize([1, -1], 16)"))
    result = built.zoo(*CHECK, "-t", "onnxruntime-cpu")
    assert result.exit_code == 4
    assert f"onnxruntime-cpu in {precision} differs on arm64: {why}" in result.stderr
    assert "Traceback" not in result.output
    for record in find_release(Home(built.home), "tiny").emulated:
        assert record.agrees == (f"in {record.precision} differs" not in result.stderr)


@pytest.fixture
def strict(monkeypatch):
    """A limit of the golden embedding that nothing reaches."""
    limits: dict[Precision, float] = {"fp32": 1.1, "int8": 1.1}

    def read(folder):
        golden = read_golden(folder)
        assert golden
        return replace(golden, min_cosine=limits)

    monkeypatch.setattr("zoo.emulated.images.read_golden", read)


@pytest.mark.usefixtures("strict")
def test_an_artifact_that_is_wrong_here_is_an_error_before_it_is_emulated(built, emulator):
    calls = emulator()
    message = built.refused(*CHECK, "-t", "onnxruntime-cpu")
    assert "tiny@1.0.0 as onnxruntime-cpu in fp32 produces a different embedding on this machine" in message
    assert not calls()


@pytest.mark.usefixtures("strict")
def test_the_golden_embedding_has_its_own_limit_there(built, emulator, monkeypatch):
    emulator()
    monkeypatch.setattr(Golden, "check", lambda *_: None)  # here it is right
    result = built.zoo(*CHECK, "-t", "onnxruntime-cpu")
    assert result.exit_code == 4
    assert "differs on arm64: its cosine to the golden embedding is 1.00000, at least 1.1 expected" in result.stderr
    assert {one.agrees for one in find_release(Home(built.home), "tiny").emulated} == {False}


def test_an_artifact_that_crashes_does_not_hide_the_others(built, emulator):
    ends = (
        'grep -q int8 "$job/job.json" && { echo "qemu: uncaught target signal 11 (Segmentation fault)" >&2; exit 1; }'
    )
    emulator(shell=ends.replace("grep -q int8", "grep -q onnxruntime-cpu") + "; true")
    result = built.zoo(*CHECK, "-t", "onnxruntime-cpu")
    assert result.exit_code == 4
    assert "onnxruntime-cpu in int8 differs on arm64: it does not run there: qemu: uncaught target signal 11" in (
        result.stderr
    )
    assert [one.precision for one in find_release(Home(built.home), "tiny").emulated] == ["fp32"]


def test_what_waits_for_its_board_is_taken_from_its_bundle(waiting, emulator, tmp_path):
    calls = emulator()
    shop, _ = waiting
    result = shop.zoo(*CHECK, "-t", "board", "--json")
    told = document("check", result.stdout)
    assert {one["precision"] for one in told["verdicts"]} >= {"fp32", "int8"}
    assert all(one["agrees"] for one in told["verdicts"])
    assert len(calls()) == len(told["verdicts"])
    assert "engine computes with tensorrt on GPU, which is not emulated" in shop.refused(*CHECK, "-t", "engine")


def test_what_can_not_be_emulated_is_refused_before_anything_is_made(built, emulator):
    calls = emulator()
    assert "rtx computes with tensorrt-rtx on GPU, which is not emulated" in built.refused(*CHECK, "-t", "rtx")
    assert "browser-wasm computes with onnxruntime-web on CPU" in built.refused(*CHECK, "-t", "browser-wasm")
    assert "no target 'pi9'" in built.refused(*CHECK, "-t", "pi9")
    assert "no release 'none'" in built.refused("check", "none", "--arch", "arm64")
    result = built.zoo("check", "tiny", "--arch", "riscv64")
    assert (result.exit_code, "'riscv64' is not 'arm64'" in result.stderr) == (2, True)
    assert built.zoo("check", "tiny").exit_code == 2
    assert not calls()


def test_a_release_of_engines_alone_says_what_can_be_emulated(workshop, emulator):
    emulator()
    engines = [{"path": "graph/model.onnx", "size_bytes": 9, "sha256": "c" * 64, "precision": "fp32", "target": None,
                "runtime": None},
               {"path": "rtx/model.engine", "size_bytes": 9, "sha256": "c" * 64, "precision": "fp16", "target": "rtx",
                "runtime": "tensorrt-rtx"}]  # fmt: skip
    keep(workshop.home, release(records=[], artifacts=engines))
    message = workshop.refused("check", "big", "--arch", "arm64")
    assert message == (
        "no artifact of big@1.0.0 can be emulated: rtx computes with tensorrt-rtx on GPU, which is not emulated. "
        "To run its fp32 graph: --target onnxruntime-cpu"
    )


def test_without_qemu_nothing_is_written(built, emulator, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    before = sorted(built.home.rglob("*"))
    assert "apt-get install qemu-user-static" in built.refused(*CHECK, "-t", "onnxruntime-cpu")
    assert sorted(built.home.rglob("*")) == before


def test_a_record_has_no_field_for_a_time():
    fields = measurement_schema()["$defs"]["Emulated"]["properties"]
    assert not [name for name in fields if TIME.search(name)]
    told = json.loads(to_bytes(emulated()))
    with pytest.raises(Exception, match="latency"):
        from_bytes(json.dumps(told | {"latency": []}).encode(), "here")
    with pytest.raises(ValidationError):
        emulated(device="Raspberry Pi 5")


def test_no_table_page_ranking_or_budget_shows_a_time_of_it():
    """Emulated records change no measured figure anywhere, and are told beside them without one."""
    plain = [measurement(), measurement(9.0, target="onnxruntime-cpu")]
    without, with_ = release(records=plain), release(records=[*plain, emulated(), emulated("onnxruntime-cpu")])
    lone = release(records=[emulated()])
    assert compare([with_]).groups == compare([without]).groups
    assert compare([lone]).groups == []
    assert comma_separated(compare([with_])) == comma_separated(compare([without]))
    assert (with_.measured, with_.on("openvino-cpu")) == (without.measured, without.on("openvino-cpu"))
    told = as_json(compare([with_]))
    assert told["tables"] == as_json(compare([without]))["tables"]
    assert len(told["emulated"]) == 2
    for one in told["emulated"]:
        assert not [key for key in one if TIME.search(key)]
        assert not TIME.search(one["how"])
    (line,) = lines_beside(compare([lone]))
    assert not TIME.search(line)
    assert "emulated, not measured: arm64 (emulated), cortex-a72: agrees with x86_64 on 17 images" in line
    assert not TIME.search(markdown(compare([lone])))
    (limit,) = (line for line in limits(lone.manifest, lone.measurements) if "emulated" in line)
    assert not TIME.search(limit)
    assert "Its speed is unknown: it was not measured on any device." in limits(lone.manifest, lone.measurements)


def test_the_site_lists_it_beside_the_figures_and_never_among_them():
    def data(*records):
        entry = Entry(release(records=[measurement(), *records]), "unpublished", (), 0, None, None, lambda *_: None)
        return site_data(Source([entry], {}, None, None))[0]

    with_, without = data(emulated()), data()
    assert {**with_, "emulated": []} == {**without, "emulated": []}
    assert [one["target"] for one in with_["emulated"]] == ["openvino-cpu"]


def test_only_the_newest_record_of_an_artifact_is_told():
    old = emulated(checked_at="2026-11-01T00:00:00+00:00", agrees=False)
    new = emulated(checked_at="2026-11-02T00:00:00+00:00")
    other = emulated(cpu="cortex-a76", checked_at="2026-10-01T00:00:00+00:00", agrees=False)
    older = old.model_copy(update={"runtime": replace(old.runtime, version="1.0")})
    found = release(records=[new, old, other, older])
    assert [one for one in found.measurements if isinstance(one, Emulated)] == [*found.measurements]
    assert {(one.cpu, one.runtime.version, one.agrees) for one in found.emulated} == {
        ("cortex-a72", new.runtime.version, True),
        ("cortex-a76", new.runtime.version, False),
        ("cortex-a72", "1.0", False),
    }
