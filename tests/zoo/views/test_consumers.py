"""The consumers themselves, where they run on this machine: each from a package index, in a folder of its own.

They are not in the extra `dev`: BoxMOT and Ultralytics are under the AGPL, and PyTriton contains a server of 150 MB.
BoxMOT installs what it misses, into whatever environment it runs in: it gets one of its own, and no index while it
runs.
"""

import json
import os
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

from tests.helpers import free_port
from zoo.use.golden import read_golden

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TRACKERS = (
    "boxmot==25.0.0", "ultralytics==8.4.190", "onnxruntime==1.24.3", "opencv-python-headless", "lapx",
)  # fmt: skip
SERVER = ("nvidia-pytriton==0.7.0",)
UV = Path(sys.executable).with_name("uv")


def packages_of(environment):
    """The folder of packages of a virtual environment."""
    (found,) = environment.glob("lib/python*/site-packages")
    return found


@pytest.fixture(scope="session")
def installed(request):
    """A virtual environment with packages, without what they require; torch and others are this environment's."""

    def install(*packages):
        folder = request.config.cache.mkdir("environment-" + packages[0].partition("=")[0])
        done = folder / "done"
        if not done.exists() or done.read_text() != str(packages):
            subprocess.run([UV, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
            command = [UV, "pip", "install", "-q", "--no-deps", "--python", folder / "bin/python", *packages]
            found = subprocess.run(command, capture_output=True, text=True, check=False)
            if found.returncode:
                pytest.skip(f"no package index has {', '.join(packages)}: {found.stderr.strip().splitlines()[-1]}")
            (packages_of(folder) / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
            done.write_text(str(packages))
        return folder

    return install


def run(environment, code, tmp_path):
    """Last line of the output of a program in an environment; what it writes goes below `tmp_path`."""
    variables = {
        "PATH": os.defpath, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "UV_OFFLINE": "1", "YOLO_CONFIG_DIR": str(tmp_path),
        "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true",
    }  # fmt: skip
    command = [environment / "bin/python", "-c", dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture
def frame(tiny, tmp_path):
    """A picture with the golden input in it, at left 40 and top 30, and its embedding."""
    golden = read_golden(tiny.path.parent)
    picture = np.full((160, 200, 3), 90, np.uint8)
    height, width = golden.picture.shape[:2]
    picture[30 : 30 + height, 40 : 40 + width] = golden.picture
    Image.fromarray(picture).save(tmp_path / "frame.png")
    return tmp_path / "frame.png", (40, 30, 40 + width, 30 + height), golden.embedding


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_boxmot_gives_the_embedding_of_the_release(export, installed, frame, tmp_path, precision):
    out, record = export("boxmot", precision)
    picture, box, expected = frame
    code = f"""
    import json, torch
    import numpy as np
    from PIL import Image
    from boxmot.reid.config import resolve_reid_spec
    from boxmot.reid.factory import create_reid_encoder
    from boxmot.structures import Boxes, Detections, Frame
    spec, _ = resolve_reid_spec({str(out / "tiny.onnx")!r}, allow_download=False)
    encoder = create_reid_encoder(spec)
    image = torch.from_numpy(np.asarray(Image.open({str(picture)!r}))).permute(2, 0, 1).contiguous()
    boxes, classes = Boxes(torch.tensor([{list(map(float, box))}])), torch.zeros(1, dtype=torch.int64)
    found = Detections(boxes, torch.ones(1), classes, "a")
    (rows,) = encoder.encode([Frame(image, "a")], [found])
    print(json.dumps(rows[0].tolist()))
    """
    row = np.array(json.loads(run(installed(*TRACKERS), code, tmp_path)))
    assert row @ expected > record.check.golden_cosine - 1e-4


def test_ultralytics_gives_the_embedding_of_the_release(export, installed, frame, tmp_path):
    """Its trackers enlarge boxes by 2 % and 10 pixels, so a smaller one is given."""
    out, _ = export("ultralytics")
    picture, (left, top, right, bottom), expected = frame
    width, height = (right - left - 10) / 1.02, (bottom - top - 10) / 1.02
    box = [(left + right) / 2 + 0.01, (top + bottom) / 2 + 0.01, width, height, 0.9, 0.0]
    code = f"""
    import json
    import numpy as np
    from PIL import Image
    from ultralytics.trackers.bot_sort import BOTSORT
    from ultralytics.utils import YAML, IterableSimpleNamespace
    from ultralytics.utils.checks import check_yaml
    settings = YAML.load(check_yaml("botsort.yaml"))
    settings |= {{"with_reid": True, "model": {str(out / "tiny.onnx")!r}, "device": "cpu"}}
    tracker = BOTSORT(IterableSimpleNamespace(**settings))
    image = np.asarray(Image.open({str(picture)!r}))[..., ::-1].copy()
    print(json.dumps(tracker.encoder(image, np.array([{box}], np.float32))[0].tolist()))
    """
    row = np.array(json.loads(run(installed(*TRACKERS), code, tmp_path)))
    assert row @ expected / np.linalg.norm(row) > 0.9999


BACKEND = """\
import json
import sys

sys.path.extend({paths!r})
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        name = config["default_model_filename"] or "model.onnx"
        path = f"{{args['model_repository']}}/{{args['model_version']}}/{{name}}"
        self.input, self.output = config["input"][0]["name"], config["output"][0]["name"]
        if {backend!r} == "openvino":
            import openvino

            model = openvino.Core().compile_model(path, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
            self.run = lambda images: np.array(model({{self.input: images}})[self.output])
        else:
            import onnxruntime

            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            self.run = lambda images: session.run([self.output], {{self.input: images}})[0]

    def execute(self, requests):
        given = [np.from_dlpack(pb_utils.get_input_tensor_by_name(one, self.input)) for one in requests]
        rows = [self.run(images) for images in given]
        return [pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack(self.output, row)]) for row in rows]
"""


@pytest.fixture
def serve(installed, tmp_path):
    """Starts Triton's server on a repository; gives its URL and its log.

    PyTriton has the server, but of the backends only Python's. Stand-ins for the others run the same file with the
    same library, so that what is tested is the repository, its configuration, and the server's own checks of shapes.
    """
    folder = packages_of(installed(*SERVER))
    root = folder / "pytriton/tritonserver"
    backends, stub = tmp_path / "backends", f"python_backend_stubs/{sys.version_info[0]}.{sys.version_info[1]}"
    (backends / "python").mkdir(parents=True)
    for path in (*(root / "backends/python").glob("*.*"), root / stub / "triton_python_backend_stub"):
        (backends / "python" / path.name).write_bytes(path.read_bytes())
        (backends / "python" / path.name).chmod(0o755)
    for name in ("onnxruntime", "openvino"):
        (backends / name).mkdir()
        text = BACKEND.format(backend=name, paths=[sysconfig.get_paths()["purelib"]])
        (backends / name / "model.py").write_text(text)
    running = []

    def start(repository):
        port = free_port()
        command = [
            root / "bin/tritonserver", f"--model-repository={repository}", f"--backend-directory={backends}",
            "--disable-auto-complete-config", "--exit-on-error=false", "--http-address=127.0.0.1",
            f"--http-port={port}", "--allow-grpc=false", "--allow-metrics=false",
        ]  # fmt: skip
        libraries = {"LD_LIBRARY_PATH": str(folder / "nvidia_pytriton.libs"), "OMP_NUM_THREADS": "1"}
        (root / "bin/tritonserver").chmod(0o755)
        log = tmp_path / "server.log"
        with log.open("w") as out:
            running.append(subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **libraries}))
        url = f"http://127.0.0.1:{port}/v2"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/health/live", timeout=1).close()
                break
            except OSError:
                assert running[-1].poll() is None, log.read_text()
                time.sleep(0.5)
        return url, log

    yield start
    for one in running:
        one.terminate()
        one.wait(60)


def ask(url, array, record):
    """Answer of the server to a batch: KServe's protocol with binary tensors."""
    kind = {"uint8": "UINT8", "float32": "FP32"}[record.input.dtype]
    entry = {"name": record.input.name, "shape": array.shape, "datatype": kind}
    entry["parameters"] = {"binary_data_size": array.nbytes}
    wanted = {"name": record.output.name, "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [entry], "outputs": [wanted]}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    request = urllib.request.Request(f"{url}/models/tiny/infer", head + array.tobytes(), length)
    with urllib.request.urlopen(request, timeout=60) as response:
        content, size = response.read(), int(response.headers["Inference-Header-Content-Length"])
    shape = json.loads(content[:size])["outputs"][0]["shape"]
    return np.frombuffer(content[size:], np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("backend", "precision", "options"),
    [
        ("onnxruntime", "fp32", {}),
        ("onnxruntime", "fp32", {"layout": "nchw", "dtype": "float32", "range": "1", "colors": "bgr"}),
        ("onnxruntime", "int8", {}),
        ("openvino", "fp32", {}),
        ("openvino", "int8", {}),
    ],
)
def test_triton_s_server_serves_the_repository(export, serve, tiny, backend, precision, options):
    out, record = export("triton", precision, backend, **options)
    url, log = serve(out)
    with urllib.request.urlopen(f"{url}/models/tiny", timeout=10) as response:
        told = json.load(response)
    assert told["inputs"][0]["shape"][0] == -1, log.read_text()
    golden = read_golden(tiny.path.parent)
    images = np.stack([golden.picture] * 3)
    if options:
        images = np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    rows = ask(url, images, record)
    assert rows.shape == (3, record.output.dimension)
    assert (rows @ golden.embedding).min() >= golden.min_cosine[precision]
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(url, images[:, 1:], record)
    assert error.value.code == 400
    assert "unexpected shape for input" in error.value.read().decode()


def test_triton_s_server_looks_for_the_engine_of_tensorrt(export, serve):
    """It accepts the configuration, and has no backend for it here."""
    out, _ = export("triton", backend="tensorrt")
    (out / "tiny/1").mkdir()
    (out / "tiny/1/model.plan").write_bytes(b"")
    _, log = serve(out)
    assert "unable to find backend library for backend 'tensorrt'" in log.read_text()


def test_triton_s_server_refuses_a_broken_configuration(export, serve):
    """So the tests above say something."""
    out, _ = export("triton")
    path = out / "tiny/config.pbtxt"
    path.write_text(path.read_text().replace("TYPE_UINT8", "TYPE_NONE"))
    _, log = serve(out)
    assert "failed to read text proto" in log.read_text()
