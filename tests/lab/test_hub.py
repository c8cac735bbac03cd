"""Shipped models in a folder and on a hub, which a server of ours stands in for."""

import base64
import hashlib
import http.server
import json
import re
import threading
import typing

import numpy as np
import pytest
import yaml

import zoo
from tfgan_ema import export
from tfgan_ema.cli import main
from tfgan_ema.lab import hub
from zoo import shipped

NAME = "ring_mlp"


def run(*words):
    return main.main(["zoo", *map(str, words)])


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pushed") / "model"
    assert hub.push(NAME, str(folder)) == str(folder)
    return folder


def head(folder):
    text = (folder / "README.md").read_text()
    _, matter, rest = text.split("---\n", 2)
    assert rest.strip() == (shipped.folder(NAME) / "card.md").read_text().strip()
    return yaml.safe_load(matter)


def test_a_card_begins_with_what_the_hub_reads(pushed):
    found = head(pushed)
    assert (found["library_name"], found["license"]) == ("keras", "apache-2.0")
    (model,) = found["model-index"]
    (result,) = model["results"]
    card = shipped.card(NAME)
    scores = {each["name"]: each["value"] for each in result["metrics"]}
    assert scores["w1, averaged"] == pytest.approx(np.mean(card["metrics"]["averaged"]["w1"]), 1e-4)
    assert scores["w1, raw"] == pytest.approx(np.mean(card["metrics"]["raw"]["w1"]), 1e-4)
    assert result["dataset"] == {"name": "ring", "type": "ring", "split": "train"}
    assert model["name"] == NAME


def test_the_hubs_own_reader_takes_the_card(pushed):
    cards = pytest.importorskip("huggingface_hub", reason="needs: pip install 'tfgan_ema[hub]'")
    data = cards.ModelCard.load(pushed / "README.md").data
    assert {each.metric_type for each in data.eval_results} == {
        *shipped.card(NAME)["metrics"]["raw"]
    }


def test_what_was_pushed_to_a_folder_is_pulled_from_there(pushed, tmp_path, capsys):
    assert run("pull", pushed, f"--out={tmp_path / 'model'}") == 0
    assert capsys.readouterr().out == f"{pushed}: {tmp_path / 'model'}\n"
    pulled = export.load_generator(tmp_path / "model")
    np.testing.assert_array_equal(pulled.sample(5, 1), zoo.load(NAME).sample(5, 1))


def test_nothing_is_overwritten_silently(pushed, tmp_path, capsys):
    for words in (["push", NAME], ["pull", pushed]):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / "file").touch()
        assert run(*words, f"--out={tmp_path / 'mine'}") == 2
        assert "mine exists: choose another folder, or pass --overwrite." in capsys.readouterr().err
        assert run(*words, f"--out={tmp_path / 'mine'}", "--overwrite") == 2
        assert "mine holds no pushed model to replace" in capsys.readouterr().err
        for _ in range(2):
            assert run(*words, f"--out={tmp_path / words[0]}", "--overwrite") == 0
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def spoil(folder, name, content):
    (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("card.json", "{}", "card.json is damaged: its checksum is wrong"),
        (hub.SUMS, "0" * 64 + "  ../outside\n", "is no pushed model (a file named '../outside')"),
        (hub.SUMS, "0" * 64 + "  /etc/passwd\n", "is no pushed model (a file named '/etc/passwd')"),
        (hub.SUMS, "nonsense", "is no pushed model (a file named '')"),
        (hub.SUMS, "0" * 64 + "  missing\n", "is no pushed model"),
    ],
)
def test_what_is_damaged_is_refused_and_leaves_nothing(tmp_path, capsys, name, content, message):
    hub.push(NAME, str(tmp_path / "model"))
    spoil(tmp_path / "model", name, content)
    assert run("pull", tmp_path / "model", f"--out={tmp_path / 'out'}") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_is_none_is_one_line(tmp_path, capsys):
    assert run("pull", tmp_path / "none", f"--out={tmp_path / 'out'}") == 2
    assert "holds no SHA256SUMS" in capsys.readouterr().err


class Hub(http.server.BaseHTTPRequestHandler):
    """What a repository of the hub answers to the requests of its client."""

    protocol_version = "HTTP/1.1"
    repositories: typing.ClassVar = {}

    def answer(self, code, content=b"", **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self):
        self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")

    def do_GET(self):
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/\w+)?", path):
            files = self.repositories.get(match[1])
            if files is None:
                return self.refuse()
            siblings = [{"rfilename": name} for name in files]
            return self.answer(
                200, {"id": match[1], "sha": "1" * 40, "siblings": siblings, "private": False}
            )
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/\w+.*", path):
            files = self.repositories.get(match[1], {})
            rows = [
                {"type": "file", "path": name, "size": len(data), "oid": "1" * 40}
                for name, data in files.items()
            ]
            return self.answer(200, rows)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/\w+/(.+)", path):
            data = self.repositories[match[1]][match[2]]
            tag = hashlib.sha1(data).hexdigest()
            return self.answer(200, data, ETag=f'"{tag}"', X_Repo_Commit="1" * 40)
        return self.refuse()

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.repositories.setdefault(name, {})
            return self.answer(200, {"url": f"http://{self.headers['Host']}/{name}"})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = json.loads(body)["files"]
            rows = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in files
            ]
            return self.answer(200, {"files": rows})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            for line in body.splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    content = base64.b64decode(row["value"]["content"])
                    self.repositories[match[1]][row["value"]["path"]] = content
            root = f"http://{self.headers['Host']}/{match[1]}"
            made = {"commitUrl": f"{root}/commit/{'1' * 40}", "commitOid": "1" * 40}
            return self.answer(200, {"success": True, **made})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        return self.refuse()

    def log_message(self, *_):
        pass


@pytest.fixture
def repositories(monkeypatch):
    """The repositories of a hub on this machine, by name; the client asks no other one."""
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs: 'tfgan_ema[hub]'")
    found = {}
    handler = type("Own", (Hub,), {"repositories": found})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        for module in (huggingface_hub.constants, huggingface_hub.file_download.constants):
            monkeypatch.setattr(module, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setenv("HF_TOKEN", "hf_ours")
        yield found
        server.shutdown()


def test_a_model_travels_over_a_hub(repositories, tmp_path, capsys):
    assert run("push", NAME, "--out=hf:me/ring") == 0
    assert {"README.md", "saved_model.pb", hub.SUMS} <= {*repositories["me/ring"]}
    assert run("push", NAME, "--out=hf:me/ring") == 2
    assert "hf:me/ring exists: choose another name, or pass --overwrite." in capsys.readouterr().err
    assert run("push", NAME, "--out=hf:me/ring", "--overwrite") == 0
    assert run("pull", "hf:me/ring", f"--out={tmp_path / 'model'}") == 0
    assert capsys.readouterr().err == ""
    pulled = export.load_generator(tmp_path / "model")
    np.testing.assert_array_equal(pulled.sample(5, 1), zoo.load(NAME).sample(5, 1))
    assert not (tmp_path / "model" / ".cache").exists()


def test_a_hub_that_refuses_or_changes_a_file_is_one_line(repositories, tmp_path, capsys):
    out = f"--out={tmp_path / 'model'}"
    assert run("pull", "hf:me/none", out) == 2
    assert "hf:me/none cannot be read (" in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
    assert run("pull", "hf:one/two/three", out) == 2
    assert "hf:one/two/three cannot be read (" in capsys.readouterr().err
    hub.push(NAME, "hf:me/ring")
    repositories["me/ring"]["card.json"] = b"{}"
    assert run("pull", "hf:me/ring", out) == 2
    assert "hf:me/ring: card.json is damaged" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_hub_that_is_not_there_is_one_line(repositories, tmp_path, monkeypatch, capsys):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    nobody = "http://127.0.0.1:9"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nobody)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        nobody + "/{repo_id}/resolve/{revision}/{filename}",
    )
    for words in (["push", NAME, "--out=hf:me/ring"], ["pull", "hf:me/ring", "--out=o"]):
        assert run(*words) == 2
        assert capsys.readouterr().err.count("\n") == 1
