"""Wrong inputs from end to end: `pyrozoo run` exits with 1, says so in one line, and leaves no run behind."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

COIN = """\
name: coin
model: {family: beta_bernoulli, prior: "beta(2, 2)"}
data: {values: {outcome: [1, 1, 0]}}
inference: exact
"""
RATES = """\
name: rates
model: {family: beta_bernoulli}
data: {path: votes.csv, columns: {successes: yes, trials: all, group: party}}
inference: exact
"""
VOTES = """\
name: votes
model: {family: logistic_regression, formula: "vote ~ age + party"}
data: {path: votes.csv}
inference: nuts
"""
ROWS = "vote,age,party,yes,all\n1,0.5,left,1,2\n0,1.5,right,2,2\n1,2.5,left,0,2\n0,0.1,right,1,2\n"
SIMULATED = """\
name: simulated
model: {family: beta_bernoulli}
data: {simulate: {num_rows: 5, columns: {group: [a, b]}}}
inference: exact
"""
OWN = """\
name: own
model: {program: own.py:Own}
data: {values: {y: [1.5, 2.5, 0.5]}, observed: [y]}
inference: nuts
"""
PROGRAM = """\
import pyro
import pyro.distributions as dist


class Own:
    def __init__(self, scale=1.0):
        if scale <= 0:
            raise ValueError("scale must be positive")
        self.scale = scale

    def __call__(self, num_rows):
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        with pyro.plate("row", num_rows):
            pyro.sample("y", dist.Normal(mu, self.scale))
"""
FAILS = "correct the program, or what it is given"


class Case(NamedTuple):
    """A good config with one change in it or in a file beside it (`old` -> `new`), and the line that it gives.

    A file of None is not there; bytes are its whole content.
    """

    config: str
    old: str
    new: str
    line: str
    file: str = "x.yaml"


def config(base: str, old: str, new: str, line: str) -> Case:
    return Case(base, old, new, f"x.yaml:{line}")


def votes(old: str, new: str, line: str, base: str = VOTES) -> Case:
    return Case(base, old, new, f"votes.csv{line}", "votes.csv")


def program(old: str, new: str, line: str, base: str = OWN) -> Case:
    return Case(base, old, new, line, "own.py")


NUMBERS, EXAMPLE = "correct the value or leave the row out", "write it like `y ~ x1 + scale(x2) + C(g)`"

CASES: dict[str, Case] = {
    # the config itself
    "misspelt part": config(
        COIN, "inference", "inferance", "4: inferance: not a part of an experiment; did you mean `inference`?"
    ),
    "misspelt family": config(
        COIN, "beta_b", "bata_b", "2: model.family: 'bata_bernoulli' is not a family; did you mean `beta_bernoulli`?"
    ),
    "misspelt setting": config(
        COIN, "prior", "priro", "2: model.priro: not a setting of `beta_bernoulli`; did you mean `prior`?"
    ),
    "misspelt backend": config(
        COIN, "exact", "exakt", "4: inference.exakt: 'exakt' is not a backend; did you mean `exact`?"
    ),
    "misspelt check": config(
        COIN,
        "exact\n",
        "exact\nchecks: {min_es: 4}\n",
        "5: checks.min_es: not a setting of `checks`; did you mean `min_ess`?",
    ),
    "wrong type": config(
        COIN,
        "coin\n",
        "coin\nseed: many\n",
        "2: seed: must be a whole number, got 'many'; write for instance `seed: 0`",
    ),
    "too few draws": config(
        COIN,
        "exact",
        "{nuts: {num_samples: -5}}",
        "4: inference.nuts.num_samples: must be 4 or more, got -5; write for instance `num_samples: 400`",
    ),
    "no such guide": config(
        COIN,
        "exact",
        "{svi: {guide: laplas}}",
        "4: inference.svi.guide: 'laplas' is not a guide; did you mean `laplace`?",
    ),
    "repeated key": config(
        COIN, "exact\n", "exact\nname: b\n", "5: name: the key is given twice, first in line 1; keep one of the two"
    ),
    "no YAML": config(COIN, "exact\n", "exact\n\tchecks: {}\n", "5: a tab cannot indent YAML; use spaces"),
    "empty": config(COIN, COIN, "", " is empty; write at least `name`, `model`, `data` and `inference`"),
    "wrong prior": config(
        COIN,
        "beta(2, 2)",
        "normal(0, 1)",
        "2: model.prior: must be a prior on the unit interval, got `normal(0, 1)`; use `beta`",
    ),
    "wrong argument of a prior": config(
        COIN,
        "beta(2, 2)",
        "beta(-2, 2)",
        "2: model.prior: concentration1 must be positive, got -2; write `beta(concentration1, concentration0)`",
    ),
    "two sources": config(
        COIN,
        "{values:",
        "{path: a.csv, values:",
        "3: data.values: the rows already come from `data.path`; keep one of the two",
    ),
    "threshold": config(
        COIN,
        "exact\n",
        "exact\nchecks: {max_r_hat: 0.5}\n",
        "5: checks.max_r_hat: must be 1 or more, got 0.5; write for instance `max_r_hat: 1.01`",
    ),
    "no such data set": config(
        COIN,
        "values: {outcome: [1, 1, 0]}",
        "bundled: sedes",
        "3: data.bundled: there is no bundled data `sedes`; did you mean `seeds`?",
    ),
    # values in the config
    "not a number inline": config(
        COIN,
        "1, 0]",
        ".nan, 0]",
        (
            "3: data.values, column `outcome`, row 2: must be 0 or 1, got an empty cell or NaN; fill the "
            "cell in or leave the row out"
        ),
    ),
    "not a yes or no": config(
        COIN,
        "1, 0]",
        "2, 0]",
        "3: data.values, column `outcome`, row 2: must be 0 or 1, got 2; recode the column to 0 and 1",
    ),
    "words for yes and no": config(
        COIN,
        "[1, 1, 0]",
        "[yes, no, yes]",
        "3: data.values, column `outcome`, row 1: must be 0 or 1, got 'yes'; recode the column to 0 and 1",
    ),
    # files
    "missing file": config(
        VOTES, "votes.csv", "vote.csv", "3: data.path: there is no file `vote.csv`; did you mean `votes.csv`?"
    ),
    "empty file": votes(ROWS, "", ": is an empty file; write a header line and at least one row"),
    "binary file": votes(
        ROWS,
        "PK\3\4\0\0",
        ": must be text, got a binary file; save the table as CSV, or as Parquet with the ending .parquet",
    ),
    "ragged row": votes(
        "0.5,left,1,2", "0.5,left", ", row 1: must have 5 cells like the header, got 3; add what is missing"
    ),
    "NaN": votes(
        "1,0.5",
        "1,nan",
        ", column `age`, row 1: must not be empty, got an empty cell or NaN; fill the cell in or leave the row out",
    ),
    "infinity": votes("2.5", "inf", f", column `age`, row 3: must be finite, got inf; {NUMBERS}"),
    "a word among numbers": votes(
        "1.5",
        "half",
        ", column `age`, row 2: must be a number like the column's other rows, got 'half'; correct the value",
    ),
    "an empty label": votes(
        "2.5,left",
        "2.5,",
        ", column `party`, row 3: must not be empty, got an empty cell; fill the cell in or leave the row out",
    ),
    "outcome of three values": votes(
        "\n1,2.5", "\n2,2.5", ", column `vote`, row 3: must be 0 or 1, got 2; recode the column to 0 and 1"
    ),
    # what a family makes of them
    "missing column": config(
        RATES, "yes,", "yess,", "3: data.columns.successes: there is no column `yess` in votes.csv; did you mean `yes`?"
    ),
    "more successes than trials": votes(
        "2,2", "3,2", ", column `yes`, row 2: must not exceed `trials`, got 3; correct the row", RATES
    ),
    "negative count": votes(
        "left,0", "left,-1", ", column `yes`, row 3: must be a whole number, 0 or more, got -1; correct it", RATES
    ),
    "half a success": votes(
        "left,0", "left,0.5", ", column `yes`, row 3: must be a whole number, 0 or more, got 0.5; correct it", RATES
    ),
    "row without group": votes(
        "2.5,left",
        "2.5,",
        ", column `party`, row 3: must have a label, got an empty cell; fill the cell in or leave the row out",
        RATES,
    ),
    "no outcome": Case(
        RATES,
        "{successes: yes, trials: all, group: party}",
        "{group: party}",
        (
            "votes.csv: beta_bernoulli takes either `outcome`, or `successes` with `trials`, got columns "
            "`vote`, `age`, `party`, `yes`, `all`, `group`; name them under data.columns"
        ),
    ),
    "event that never occurs": Case(
        VOTES, 'party"', 'party", event: 7', "votes.csv, column `vote`: the event 7 never occurs; values there: 0, 1"
    ),
    "event among three values": Case(
        VOTES,
        'vote ~ age + party"',
        'yes ~ age", event: 1',
        "votes.csv, column `yes`: must have two values, got 3 (0, 1, 2); recode the column to the event and the rest",
    ),
    "no chance for exact": Case(
        VOTES,
        "nuts",
        "exact",
        (
            "`exact` cannot fit LogisticRegression: site `intercept` (Normal) is not conjugate to `y` "
            "(Bernoulli with logits); use `nuts` or `svi`"
        ),
    ),
    # formulas
    "formula of an unknown column": config(
        VOTES, "age +", "aeg +", "2: model.formula: `aeg` is not a column of votes.csv; did you mean `age`?"
    ),
    "formula of an unknown outcome": Case(
        VOTES, "vote ~", "vot ~", "votes.csv: there is no column `vot`; did you mean `vote`?"
    ),
    "formula that is none": config(
        VOTES,
        "age +",
        "age +*",
        f"2: model.formula: Operator `+*` is incorrectly used, got 'vote ~ age +* party'; {EXAMPLE}",
    ),
    "formula without outcome": config(
        VOTES,
        "vote ~",
        "vote +",
        f"2: model.formula: must be `outcome ~ predictors`, got 'vote + age + party'; {EXAMPLE}",
    ),
    "formula with its outcome": config(
        VOTES,
        "~ age",
        "~ vote",
        (
            "2: model.formula: the outcome `vote` is also a predictor, got 'vote ~ vote + party'; take "
            "it out of the right side"
        ),
    ),
    "formula with a bar": config(
        VOTES, "age +", "age |", f"2: model.formula: `|` has no meaning here, got 'vote ~ age | party'; {EXAMPLE}"
    ),
    "formula of nothing": config(
        VOTES,
        "age + party",
        "0",
        "2: model.formula: has neither predictors nor an intercept; write it like `y ~ x1 + x2`",
    ),
    "logarithm of zero": Case(
        VOTES,
        "age + party",
        "log(yes)",
        "votes.csv, term `log(yes)`, row 3: must be finite, got -inf; correct the row or the formula",
    ),
    "logarithm below zero": Case(
        VOTES,
        "age + party",
        "log(age - 0.2)",
        "votes.csv, term `log(age - 0.2)`, row 4: must be finite, got nan; correct the row or the formula",
    ),
    "constant predictor": Case(
        VOTES,
        "party",
        "all",
        (
            "votes.csv, term `all`: is the same in every row, so it cannot be standardised; leave it out "
            "of the formula or set `standardise: false`"
        ),
    ),
    # simulated data
    "truth of no site": config(
        SIMULATED,
        "}}}",
        "}, truth: {theat: 0.3}}}",
        "3: data.simulate.truth: there is no latent site `theat`; did you mean `theta`?",
    ),
    "truth of the wrong shape": config(
        SIMULATED,
        "}}}",
        "}, truth: {theta: 0.3}}}",
        "3: data.simulate.truth: `theta` must be of shape (2,) and in the support of Beta, got 0.3; correct the value",
    ),
    "truth outside the support": config(
        SIMULATED,
        "}}}",
        "}, truth: {theta: [0.3, 1.3]}}}",
        (
            "3: data.simulate.truth: `theta` must be of shape (2,) and in the support of Beta, got [0.3, "
            "1.3]; correct the value"
        ),
    ),
    "no rows to simulate": config(
        SIMULATED, "5", "0", "3: data.simulate.num_rows: must be 1 or more, got 0; correct it"
    ),
    # programs: the file
    "no program in the file": config(
        OWN, ":Own", ":Onw", "2: model.program: there is no `Onw` in own.py; did you mean `Own`?"
    ),
    "not a program": config(
        OWN,
        ":Own",
        ":__name__",
        "2: model.program: `__name__` must be a class or a function, got a str; name the program",
    ),
    "syntax error": program(
        "self, num_rows):",
        "self, num_rows)",
        "x.yaml:2: model.program: cannot load own.py:11: SyntaxError: expected ':'; correct the file",
    ),
    "missing import": program(
        "import pyro\n",
        "import pyroo\n",
        "x.yaml:2: model.program: cannot load own.py:1: ModuleNotFoundError: No module named 'pyroo'; correct the file",
    ),
    "fault on import": program(
        "class Own:",
        "1 / 0\nclass Own:",
        "x.yaml:2: model.program: cannot load own.py:5: ZeroDivisionError: division by zero; correct the file",
    ),
    "misspelt setting of a program": config(
        OWN, "py:Own", "py:Own, scael: 2", "2: model.scael: not a setting of `Own`; did you mean `scale`?"
    ),
    "setting that the program refuses": config(
        OWN,
        "py:Own",
        "py:Own, scale: -2",
        "2: model.program: `Own` refuses its settings: scale must be positive; correct them",
    ),
    "class without a program": program(
        "__call__", "call", "x.yaml:2: model.program: `Own` has no `__call__`; write the program as its `__call__`"
    ),
    # programs: their data
    "no argument for it": program(
        "self, num_rows):",
        "self, num_rows, sigma):",
        "x.yaml:2: model.program: Own: needs the argument `sigma`; give it under data.columns or data.values",
    ),
    "argument that is not taken": config(
        OWN, "{y:", "{sigma: 2, y:", "3: data.values.sigma: the program takes no such argument; known: `num_rows`, `y`"
    ),
    "observed without values": config(
        OWN, "d: [y]", "d: [y, z]", "3: data.observed: there are no values for `z`; known: `num_rows`, `y`"
    ),
    "observed and no site": program(
        '"y"', '"why"', "x.yaml:2: model.program: Own: there is no site `y` to observe; known: `mu`, `why`"
    ),
    "nothing observed": config(
        OWN, ", observed: [y]", "", "3: data: names no observed site; add for instance `observed: [y]`"
    ),
    "wrong length": program(
        "self, num_rows):",
        "self, num_rows):\n        num_rows = 4",
        "x.yaml:2: model.program: Own: site `y` has shape (4,), its data have shape (3,); "
        "give one value for each element of the site",
    ),
    "wrong shape": Case(
        OWN,
        "[1.5, 2.5, 0.5]",
        "[[1.5], [2.5], [0.5]]",
        "x.yaml:2: model.program: Own: site `y` has shape (3,), its data have shape (3, 1); "
        "give one value for each element of the site",
    ),
    "ragged values": config(
        OWN,
        "[1.5, 2.5, 0.5]",
        "[[1.5], [2.5, 0.5]]",
        "3: data.values.y: must be a number or a rectangular list of numbers; correct the list",
    ),
    "infinite value": config(OWN, "2.5", ".inf", "3: data.values.y: must be finite; correct the list"),
    "outside the support": program(
        "dist.Normal(mu, self.scale)",
        "dist.Beta(mu.exp(), self.scale)",
        "x.yaml:2: model.program: Own, site `y`, row 1: 1.5 is outside the support of Beta; "
        "correct the value or use another distribution",
    ),
    # programs: what they do
    "discrete site": program(
        "dist.Normal(0.0, 1.0)",
        "dist.Poisson(3.0)",
        (
            "`nuts` cannot fit Own: site `mu` (Poisson) is discrete and its values cannot be listed; use a "
            "Categorical, Bernoulli or Binomial in a plate, which is summed out, or sum it out yourself"
        ),
    ),
    "no latent site": program(
        'pyro.sample("mu", dist.Normal(0.0, 1.0))',
        "0.0",
        "x.yaml:2: model.program: Own: there is no latent site to infer; every site is observed",
    ),
    "no density": program(
        "self.scale))",
        "-self.scale))",
        (
            "Own: no starting point in 100 tries: site `y` (Normal), row 1: log density is nan at value "
            "1.5; check priors, data and the program at that value"
        ),
    ),
    "misspelt attribute": program(
        "mu, self.scale",
        "mu, self.scael",
        f"own.py:14: `Own` fails with AttributeError: 'Own' object has no attribute 'scael'; {FAILS}",
    ),
    "missing key": program(
        "mu, self.scale", "mu, {}['scale']", f"own.py:14: `Own` fails with KeyError: 'scale'; {FAILS}"
    ),
    "shapes that do not fit": program(
        "mu, self",
        "mu.expand(7), self",
        f"own.py:14: `Own` fails with ValueError: Shape mismatch inside plate('row') at site y dim -1, 3 vs 7; {FAILS}",
    ),
    "not a distribution": program(
        "dist.Normal(0.0, 1.0)",
        "1.0",
        f"own.py:12: `Own` fails with TypeError: 'float' object is not callable; {FAILS}",
    ),
    "a site twice": program(
        '"y"', '"mu"', f"own.py:14: `Own` fails with RuntimeError: Multiple sample sites named 'mu'; {FAILS}"
    ),
    "a failing assertion": program(
        "        with",
        "        assert num_rows > 3\n        with",
        f"own.py:13: `Own` fails with AssertionError; {FAILS}",
    ),
    "fault while gradients are computed": program(
        "        with",
        "        mu = mu + mu.numpy().item()\n        with",
        (
            "own.py:13: `Own` fails with RuntimeError: Can't call numpy() on Tensor that requires grad. "
            f"Use tensor.detach().numpy() instead; {FAILS}"
        ),
    ),
}


def write(folder: Path, case: Case) -> None:
    contents = {"x.yaml": case.config, "votes.csv": ROWS, "own.py": PROGRAM}
    assert contents[case.file].count(case.old) == 1 or case.file == "votes.csv", "the change must change one thing"
    contents[case.file] = contents[case.file].replace(case.old, case.new, 1)
    for name, text in contents.items():
        (folder / name).write_bytes(text.encode())


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_one_line_and_leaves_nothing(run_cli, tmp_path, name):
    write(tmp_path, CASES[name])
    assert run_cli("run", "x.yaml") == (1, "", f"error: {CASES[name].line}\n")
    # __pycache__: Python's own, for a program that was imported
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"x.yaml", "votes.csv", "own.py"}


@pytest.mark.parametrize("base", [COIN, RATES, SIMULATED, OWN])
def test_without_the_change_the_input_is_right(run_cli, tmp_path, base):
    write(tmp_path, Case(base, "name", "name", ""))
    assert run_cli("check", "x.yaml")[0] == 0
    assert run_cli("check", "x.yaml").err == ""


NEEDS_A_FIT = {"no chance for exact", "discrete site", "no density", "fault while gradients are computed"}


@pytest.mark.parametrize("name", [name for name in CASES if name not in NEEDS_A_FIT])
def test_check_finds_what_is_wrong_without_inference(run_cli, tmp_path, name):
    write(tmp_path, CASES[name])
    assert run_cli("check", "x.yaml") == (1, "", f"error: {CASES[name].line}\n")


def test_missing_config(run_cli):
    assert run_cli("run", "x.yaml") == (1, "", "error: x.yaml: there is no such file; check the path\n")


def test_missing_program(run_cli, tmp_path):
    (tmp_path / "x.yaml").write_text(OWN)
    ended = run_cli("run", "x.yaml")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: x.yaml:2: model.program: there is no file `")
    assert ended.err.count("\n") == 1 and "own.py" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
