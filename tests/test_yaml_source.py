"""YAML at the door: what each scalar is, where each key stands, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from experiments.overrides import override
from experiments.yaml_source import Source, read
from experiments.yaml_target import dump
from models.errors import InputError


@pytest.fixture
def source(tmp_path, monkeypatch):
    """`source("a: 1")`: that text, read from `x.yaml` in the working folder."""
    monkeypatch.chdir(tmp_path)

    def write_and_read(text: str | bytes) -> Source:
        Path("x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(Path("x.yaml"))

    return write_and_read


# Scalars under the core schema of YAML 1.2.2, section 10.3.2; many differ from YAML 1.1 (PyYAML's own reading).
SCALARS = [
    ("1e-3", 1e-3),
    ("1E3", 1000.0),
    ("-2.5e+2", -250.0),
    (".5", 0.5),
    ("5.", 5.0),
    ("+7", 7),
    ("017", 17),
    ("0o17", 15),
    ("0x1F", 31),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("no", "no"),
    ("No", "No"),
    ("yes", "yes"),
    ("on", "on"),
    ("off", "off"),
    ("n", "n"),
    ("y", "y"),
    ("true", True),
    ("False", False),
    ("~", None),
    ("null", None),
    ("", None),
    ("2024-01-31", "2024-01-31"),
    ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
    ("1:30", "1:30"),
    ("190:20:30", "190:20:30"),
    ("1_000", "1_000"),
    ("0b101", "0b101"),
    ("inf", "inf"),
    ("nan", "nan"),
    ("e3", "e3"),
    (".", "."),
    ("=", "="),
    ("normal(0, 2.5)", "normal(0, 2.5)"),
    ("'1e-3'", "1e-3"),
    ('"true"', "true"),
    ("'~'", "~"),
    ("'no'", "no"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_follow_the_core_schema(source, text, value):
    found = source(f"key: {text}\n").tree["key"]
    assert found == value and type(found) is type(value)


def test_nan_is_a_number(source):
    assert math.isnan(source("key: .nan").tree["key"])


@pytest.mark.parametrize("key", ["no", "1", "1e-3", "true", "null", "2024-01-31", "<<"])
def test_keys_are_text(source, key):
    assert source(f"{key}: 1").tree == {key: 1}


def test_a_file_with_a_byte_order_mark_and_other_letters(source):
    assert source("\ufeffname: größe\n".encode()).tree == {"name": "größe"}


LONG = """\
# a comment
name: coins

model: {family: beta_bernoulli,
        prior: "beta(2, 2)"}
inference:
  - exact
  - nuts:
      num_samples: 50
data: {values: {y: [1, 0,
                    1]}}
"""


def test_every_key_knows_its_line(source):
    where = source(LONG).where
    assert where(()) == "x.yaml:2"
    assert where(("name",)) == "x.yaml:2: name"
    assert where(("model", "family")) == "x.yaml:4: model.family"
    assert where(("model", "prior")) == "x.yaml:5: model.prior"
    assert where(("inference", 1, "nuts", "num_samples")) == "x.yaml:9: inference[1].nuts.num_samples"
    assert where(("data", "values", "y", 1)) == "x.yaml:10: data.values.y[1]"
    assert where(("data", "values", "y", 2)) == "x.yaml:11: data.values.y[2]"


def test_what_is_not_there_lies_on_the_line_of_its_parent(source):
    where = source(LONG).where
    assert where(("model", "prier")) == "x.yaml:4: model.prier"
    assert where(("seed",)) == "x.yaml:2: seed"
    assert where("data.values.y") == "x.yaml:10: data.values.y"


REFUSED = [
    ("", "x.yaml: is empty; write at least `name`, `model`, `data` and `inference`"),
    ("# nothing\n", "x.yaml: is empty; write at least `name`, `model`, `data` and `inference`"),
    ("---\n", "x.yaml: is empty; write at least `name`, `model`, `data` and `inference`"),
    ("\n- a\n- b\n", "x.yaml:2: must be a mapping at the top; write it like `name: coin_flips`"),
    ("just words\n", "x.yaml:1: must be a mapping at the top; write it like `name: coin_flips`"),
    ("a: 1\nb: 2\na: 3\n", "x.yaml:3: a: the key is given twice, first in line 1; keep one of the two"),
    ("m: {p: 1,\n p: 2}", "x.yaml:2: m.p: the key is given twice, first in line 1; keep one of the two"),
    ("a: 1\n'a': 2\n", "x.yaml:2: a: the key is given twice, first in line 1; keep one of the two"),
    ("a:\n\tb: 1\n", "x.yaml:2: a tab cannot indent YAML; use spaces"),
    (
        "a: 1\nb: [1, 2\nc: 3\n",
        "x.yaml:3: is not valid YAML: while parsing a flow sequence that begins in line 2, "
        "expected ',' or ']', but got ':'; check brackets, quotes and indentation",
    ),
    (
        "a: 1\n  b: 2\n",
        "x.yaml:2: is not valid YAML: mapping values are not allowed here"
        '; check the indentation, and put text that holds ": " in quotes',
    ),
    (
        "a: 1\nb 2\nc: 3\n",
        "x.yaml:3: is not valid YAML: while scanning a simple key that begins in line 2, could not find expected ':'"
        "; write it like `key: value`",
    ),
    (
        "a: @b\n",
        "x.yaml:1: is not valid YAML: while scanning for the next token, "
        "found character '@' that cannot start any token; check brackets, quotes and indentation",
    ),
    ("a: &b 1\n", "x.yaml:1: anchors and aliases are not allowed here; write the value out, or put it in quotes"),
    ("a: 1\nc: *b\n", "x.yaml:2: anchors and aliases are not allowed here; write the value out, or put it in quotes"),
    (
        "a: !!python/name:os.system\n",
        "x.yaml:1: tags are not allowed here; leave the tag out, or put the value in quotes",
    ),
    ("a: !!str 1\n", "x.yaml:1: tags are not allowed here; leave the tag out, or put the value in quotes"),
    ("a: 1\n---\nb: 2\n", "x.yaml:2: holds a second document; leave out the line `---`"),
    ("? [a, b]\n: 1\n", "x.yaml:1: a key must be a word; write it like `key: value`"),
    (
        "model: {family: f, prior: beta(2, 2)}\n",
        "x.yaml:1: model.prior: in braces and brackets a comma ends the value, got 'beta(2'"
        "; put the whole value in quotes",
    ),
    ("a: " + "[" * 5000, "x.yaml: is nested too deeply; check the brackets"),
    (b"\x89PNG\r\n\x1a\n\xff", "x.yaml: is not text in UTF-8; name a YAML file, saved as UTF-8"),
    ("name: x\n".encode("utf-16"), "x.yaml: is not text in UTF-8; name a YAML file, saved as UTF-8"),
    (b"a: 1\nb: \x00\n", "x.yaml:2: holds the character '\\x00', which text has not; name a YAML file, saved as UTF-8"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message.split(";")[0][:60] for _, message in REFUSED])
def test_what_is_refused(source, text, message):
    with pytest.raises(InputError) as raised:
        source(text)
    assert str(raised.value) == message


def test_a_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("coin_flips.yaml").write_text("name: x")
    for path, message in [
        ("coin_flip.yaml", "coin_flip.yaml: there is no such file; did you mean `coin_flips.yaml`?"),
        ("elsewhere/votes.yaml", "elsewhere/votes.yaml: there is no such file; check the path"),
        (".", ".: is a folder; name a YAML file in it"),
        ("coin_flips.yaml/x", "coin_flips.yaml/x: cannot be read: Not a directory; check the path"),
    ]:
        with pytest.raises(InputError) as raised:
            read(Path(path))
        assert str(raised.value) == message


SET = [
    ("seed=3", ("seed",), 3),
    ("seed=1e-3", ("seed",), 1e-3),
    ("name=no", ("name",), "no"),
    ("name=", ("name",), None),
    ("name='7'", ("name",), "7"),
    ("model.prior=normal(0, 2.5)", ("model", "prior"), "normal(0, 2.5)"),
    ("model.formula=y ~ a + C(b)", ("model", "formula"), "y ~ a + C(b)"),
    ("model.formula=y = x", ("model", "formula"), "y = x"),
    ("inference.nuts={num_samples: 5}", ("inference", "nuts"), {"num_samples": 5}),
    ("inference.nuts.num_samples=5", ("inference", "nuts", "num_samples"), 5),
    ("data.values.y.1=9", ("data", "values", "y", 1), 9),
]


@pytest.mark.parametrize(("assignment", "loc", "value"), SET)
def test_set_puts_a_yaml_value_at_a_key_path(source, assignment, loc, value):
    before = source("name: a\nseed: 1\nmodel: {family: f}\ninference: {nuts: }\ndata: {values: {y: [1, 2]}}\n")
    after = override(before, assignment)
    found = after.tree
    for key in loc:
        found = found[key]
    assert found == value and type(found) is type(value)
    assert after.where(loc) == "--set " + assignment.partition("=")[0].replace("y.1", "y[1]")
    assert before.tree["seed"] == 1 and before.tree["data"] == {"values": {"y": [1, 2]}}  # the old source is as it was
    assert after.where(("model", "family")) == "x.yaml:3: model.family"


def test_set_forgets_the_lines_of_what_it_replaces(source):
    after = override(source("name: a\nmodel:\n  family: f\n  prior: p\n"), "model={family: g, prior: q}")
    assert after.where(("model", "prior")) == "--set model.prior"


SET_REFUSED = [
    ("seed", "--set: must be key=value, got 'seed'; write it like `--set inference.nuts.num_samples=50`"),
    ("=3", "--set: must be key=value, got '=3'; write it like `--set inference.nuts.num_samples=50`"),
    ("a..b=3", "--set: must be key=value, got 'a..b=3'; write it like `--set inference.nuts.num_samples=50`"),
    ("seed.x=3", "--set seed.x: `seed` is 1 and holds no `x`; set `seed` itself"),
    ("y.2=3", "--set y.2: `y` is a list of 2 items, got `2`; name an item by its number, 0 to 1"),
    (
        "y={a: {b: f(1, 2)}}",
        "--set y.a.b: in braces and brackets a comma ends the value, got 'f(1'; put the whole value in quotes",
    ),
    ("y={a: 1, a: 2}", "--set y.a: the key is given twice, first in line 1; keep one of the two"),
    ("y.a=3", "--set y.a: `y` is a list of 2 items, got `a`; name an item by its number, 0 to 1"),
    (
        "y=[1",
        "--set y: is not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"
        "; check brackets, quotes and indentation",
    ),
]


@pytest.mark.parametrize(("assignment", "message"), SET_REFUSED)
def test_what_set_refuses(source, assignment, message):
    with pytest.raises(InputError) as raised:
        override(source("seed: 1\ny: [1, 2]\n"), assignment)
    assert str(raised.value) == message


TREE = {
    "words": [
        "no",
        "yes",
        "1e-3",
        "12",
        "",
        "null",
        "~",
        "0o7",
        "1_0",
        "1:30",
        "2024-01-31",
        "a: b",
        "#c",
        "x (y",
        "(",
        "é",
    ],
    "numbers": [0, -3, 1e-7, 2.5, 1e22, math.inf],
    "1": {"no": True, "yes": None, "true": False},
    "lines": "first\nsecond\n",
    "long": "word " * 60,
    "nested": [[1, 2], [3, [4]]],
    "empty": [{}, []],
    "mapping": {"formula": "y ~ x + C(g)", "prior": "normal(0, 2.5)"},
}


def test_what_is_dumped_reads_back(source):
    assert source(dump(TREE)).tree == TREE


def test_what_is_dumped_is_text_for_readers_of_yaml_1_1_too():
    words = yaml.safe_load(dump(TREE))["words"]
    assert words == TREE["words"]


def test_a_value_that_stands_twice_is_written_twice(source):
    shared = [1, 2]
    assert source(dump({"a": shared, "b": shared})).tree == {"a": [1, 2], "b": [1, 2]}
