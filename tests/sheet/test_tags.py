"""Tags on units: edited, counted, merged, saved and loaded."""

from __future__ import annotations

import csv
import io
import json
import math
import pickle
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peek_widget._stats import wilson_interval
from peek_widget.errors import TagError
from peek_widget.sheet.tags import Tags
from peek_widget.sheet.tags_io import clean, same

HOSTILE = [
    "dog",
    "Dog",
    "DOG",
    "a,b",
    'say "cheese"',
    "'tis",
    "'=1",
    "''=1",
    "=cmd|' /C calc'!A0",
    "+1",
    "-",
    "@SUM(A1)",
    "＝1",
    "<script>alert(1)</script>",
    "&lt;",
    "</style>",
    "straße",
    "STRASSE",
    "é",
    "e\u0301",
    "İ",
    "犬",
    "🐕‍🦺",
    ";",
    "\t;x",
]
anything = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip)
words = st.sampled_from(HOSTILE) | anything
names = st.sampled_from(["conv1", "fire8.cat", "", "=1", "'-x", 'a"b', "a\nb", "a,b"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)
tables = st.dictionaries(
    names, st.dictionaries(st.integers(0, 9).map(str), st.lists(words, max_size=4), max_size=5), max_size=3
).map(Tags)


@given(words)
def test_a_tag_is_cleaned_once(word):
    assert clean(clean(word)) == clean(word)
    assert same(clean(word)) == same(word)


@given(tables)
def test_csv_and_json_keep_every_tag_in_its_order(tags):
    for again in (Tags.from_csv(tags.to_csv()), Tags.from_json(tags.to_json()), Tags.from_dict(tags.to_dict())):
        assert again == tags
        assert again.to_dict() == tags.to_dict()
    assert pickle.loads(pickle.dumps(tags)).to_dict() == tags.copy().to_dict() == tags.to_dict()


@given(tables)
def test_saved_tags_are_loaded_again(tmp_path_factory, tags):
    folder = tmp_path_factory.mktemp("tags")
    tags.save(folder / "a.csv")
    tags.save(str(folder / "a.json"))
    assert Tags.load(folder / "a.csv").to_dict() == Tags.load(str(folder / "a.json")).to_dict() == tags.to_dict()
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", "a.json"]


@given(tables)
def test_no_cell_is_run_by_a_spreadsheet(tags):
    for row in list(csv.reader(io.StringIO(tags.to_csv(), newline="")))[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")) for cell in row)


@given(tables, tables, tables)
def test_merging_loses_nothing_whatever_the_order(a, b, c):
    assert a | a == a
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert (a | b) | b == a | b
    for part in (a, b):
        for (layer, unit), said in part.items():
            merged = {same(word) for word in (a | b)[layer, unit]}
            assert {same(word) for word in said} <= merged
    assert len(a | b) == len({*a, *b})


@given(
    tables,
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "replace", "mark_reviewed", "forget", "rename", "merge"]),
            st.integers(0, 4),
            words,
            words,
        ),
        max_size=8,
    ),
)
def test_undo_goes_all_the_way_back_and_redo_forth_again(tags, edits):
    states = [tags.to_dict()]
    for name, unit, word, other in edits:
        if name in ("mark_reviewed", "forget"):
            getattr(tags, name)("conv1", [unit, unit + 1])
        elif name == "rename":
            tags.rename(word, other)
        elif name == "merge":
            tags.merge(Tags({"conv1": {unit: [word, other]}}))
        else:
            getattr(tags, name)("conv1", unit, word, other)
        if _plain(tags.to_dict()) != _plain(states[-1]):
            states.append(tags.to_dict())
    back = 0
    while tags.undo():
        back += 1
        assert _plain(tags.to_dict()) == _plain(states[-1 - back])
    assert back == len(states) - 1
    while tags.redo():
        pass
    assert _plain(tags.to_dict()) == _plain(states[-1])


def _plain(given):
    """Without the order of layers."""
    return json.dumps(given, sort_keys=True)


def test_one_spelling_holds_for_the_table_and_case_tells_nothing_apart():
    tags = Tags()
    tags.add("conv1", 3, "  Left \n eye ")
    tags.add("conv2", [1, 2], "left EYE", "LEFT eye")
    assert tags.of("conv2", 1) == ("Left eye",)
    assert tags.units("conv2", "lEFT eye") == [1, 2]
    tags.rename("left eye", "left eye")
    assert tags.words() == ["left eye"]
    tags.rename("left eye", "eye", layer="conv2")
    assert (tags.of("conv1", 3), tags.of("conv2", 2)) == (("left eye",), ("eye",))


def test_a_spelling_that_was_undone_does_not_stay():
    tags = Tags()
    tags.add("conv1", 0, "DGO")
    tags.undo()
    tags.add("conv1", 0, "dgo")
    assert tags.words() == ["dgo"]


def test_several_units_at_once_are_one_edit():
    tags = Tags()
    tags.add("conv1", range(40), "dog")
    tags.add("conv1", range(40), "dog")  # changes nothing: nothing to take back
    assert tags.undo() == {("conv1", unit) for unit in range(40)}
    assert not tags.undo()
    assert len(tags) == 0


def test_reviewed_with_nothing_found_is_not_unreviewed():
    tags = Tags()
    tags.mark_reviewed("conv1", [0, 1, 2, 3])
    tags.add("conv1", 1, "dog")
    tags.remove("conv1", [1, 9], "DOG", "cat")
    assert tags.reviewed("conv1") == [0, 1, 2, 3]
    assert tags.of("conv1", 1) == ()
    assert ("conv1", 1) in tags
    assert ("conv1", 9) not in tags
    tags.forget("conv1", 1)
    assert tags.reviewed("conv1") == [0, 2, 3]


def test_counts_state_the_units_that_they_are_of():
    tags = Tags()
    tags.mark_reviewed("conv5", range(512))
    tags.add("conv5", range(47), "dog")
    tags.add("conv5", range(5), "face")
    dog, face = tags.count("conv5", 512)
    assert str(dog) == "47 of 512, 9.2 %"
    assert (dog.low, dog.high) == (dog.share, dog.share)
    assert face.word == "face"
    some = Tags()
    some.mark_reviewed("conv5", range(100))
    some.add("conv5", range(9), "dog")
    (dog,) = some.count("conv5", 512)
    assert dog.sampled
    assert str(dog) == "9 of 100, 9.0 % of those reviewed (5.1 to 15.3 % of all 512)"
    assert some.count("conv4", 512) == []
    with pytest.raises(TagError, match="64 units, but unit 99"):
        some.count("conv5", 64)


@pytest.mark.parametrize(("total", "reviewed"), [(256, 30), (256, 100), (256, 200), (64, 20)])
def test_the_interval_covers_the_true_share_95_percent_of_the_time(total, reviewed):
    """Exactly: over every number of units that may have the tag, and every sample that may be drawn."""
    covered = []
    ways = math.comb(total, reviewed)
    for having in range(total + 1):
        inside = 0
        for count in range(max(0, reviewed - total + having), min(having, reviewed) + 1):
            low, high = wilson_interval(count, reviewed, total)
            if low - 1e-12 <= having / total <= high + 1e-12:
                inside += math.comb(having, count) * math.comb(total - having, reviewed - count)
        covered.append(inside / ways)
    assert sum(covered) / len(covered) > 0.945
    assert min(covered) > 0.80


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n), st.integers(n, 2048))))
def test_the_interval_contains_the_share_and_excludes_what_is_known_false(case):
    count, reviewed, total = case
    low, high = wilson_interval(count, reviewed, total)
    assert low <= count / reviewed <= high
    assert count / total <= low + 1e-12
    assert high <= (total - reviewed + count) / total + 1e-12


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("layer,unit,tag,color\nc,1,dog,red\n", "unknown: 'color'"),
        ("layer,unit\nc,1\n", "missing: 'tag'"),
        ("layer,unit,tag,tag\nc,1,a,b\n", "one is there twice"),
        ("\n", "missing: 'layer', 'unit', 'tag'"),
        ("layer,unit,tag\nc,one,dog\n", "Line 2 .* 'one' was given"),
        ("layer,unit,tag\nc,1,dog\nc,-1,dog\n", "Line 3 .* '-1' was given"),
        ("layer,unit,tag\nc,1\n", "Line 2 .* 2 cells; the heading has 3"),
        ("layer,unit,tag\nc,1,d\0g\n", "control characters"),
        ('layer,unit,tag\nc,1,"dog\n', "Line 2"),
        ("layer,unit,tag\nc,1," + "x" * 201 + "\n", "at most 200"),
        ("layer,unit,tag\nc,1," + "x" * 200_000 + "\n", "field larger"),
    ],
)
def test_an_invalid_table_is_refused_by_column_and_line(text, says):
    with pytest.raises(TagError, match=says):
        Tags.from_csv(text)


def test_tables_of_spreadsheets_are_read():
    wanted = {"c": {"1": ["dog"], "2": []}}
    assert Tags.from_csv("\ufeffTag;Layer;Unit\r\ndog;c;1\r\n;c;2\r\n").to_dict() == wanted
    assert Tags.from_csv(io.StringIO("layer\tunit\ttag\nc\t 1 \tdog\n\nc\t2\t\n")).to_dict() == wanted
    assert Tags.from_csv(io.BytesIO(b"layer,unit,tag\nc,1,dog\nc,2,\n")).to_dict() == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ('{"c": [1]}', "of layer 'c' a list"),
        ('{"c": {"1": "dog"}}', "a list is wanted"),
        ('{"c": {"x": ["dog"]}}', "'x' was given"),
        ('{"c": {"1": [1]}}', "1 was given"),
        ('{"c": {"1": ["a"]}, "c": {"1": ["b"]}}', "'c' twice"),
        ('{"c": {"1": ["a"], "1": ["b"]}}', "'1' twice"),
        ('{"c": {"1": ["\\ud800"]}}', "surrogate"),
        ('{"\\ud800": {"1": ["a"]}}', "layer is its name"),
    ],
)
def test_invalid_json_is_refused(text, says):
    with pytest.raises(TagError, match=says):
        Tags.from_json(text)


@pytest.mark.parametrize("text", ["[1, 2]", "[]", "null", "1", "", " "])
def test_text_that_holds_no_tags_is_refused(text):
    for read in (Tags.from_json, Tags.from_csv):
        with pytest.raises(TagError):
            read(text)


def test_files_that_can_not_be_read_or_written_are_named(tmp_path):
    with pytest.raises(TagError, match="nowhere"):
        Tags.load(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes("layer,unit,tag\nc,1,Vögel\n".encode("latin-1"))
    with pytest.raises(TagError, match="UTF-8"):
        Tags.load(tmp_path / "latin.csv")
    with pytest.raises(TagError, match="can't be written"):
        Tags().save(tmp_path / "no" / "a.csv")
    for read in (Tags.from_csv, Tags.from_json, Tags.load):
        with pytest.raises(TagError, match="a int was given"):
            read(3)
    for use in (Tags().save, Tags.load):
        with pytest.raises(TagError, match=r"a \.json or a \.csv"):
            use(tmp_path / "a.txt")


@pytest.mark.parametrize("unit", [-1, 1.5, True, "a", None, "-1", "１"])
def test_a_unit_is_a_whole_number(unit):
    with pytest.raises(TagError, match="whole number"):
        Tags().add("conv1", [unit], "dog")


def test_suggestions_are_groups_of_the_survey_that_are_no_tags_yet():
    pandas = pytest.importorskip("pandas")
    from peek_widget.evidence.survey import Survey

    every = pandas.DataFrame(
        [(0, "dogs", 9, 9, 1e-9), (0, "<b>cats</b>", 4, 9, 0.01), (1, "dogs", 8, 9, 1e-8), (2, "cats", 1, 9, 0.6)],
        columns=["unit", "group", "count", "of", "q"],
    )
    found = Survey("conv5", 100, 0.05, every, every, every)
    tags = Tags({"conv5": {1: ["DOGS"]}})
    assert [(one.unit, one.word) for one in tags.suggest(found)] == [(0, "dogs"), (0, "<b>cats</b>")]
    assert str(tags.suggest(found)[0]) == "dogs: 9 of its 9 top images (q = 1e-09)"
    assert len(tags.suggest(found, level=1e-5)) == 1
    frame = tags.to_frame()
    assert frame.values.tolist() == [["conv5", 1, "DOGS"]]
    tags.mark_reviewed("conv5", 4)
    assert tags.to_frame()["tag"].isna().tolist() == [False, True]


def test_observers_are_called_until_they_are_removed():
    tags, told = Tags(), []
    end = tags.observe(told.append)
    tags.add("c", 1, "a")
    tags.add("c", 1, "a")
    tags.undo()
    end()
    tags.redo()
    assert told == [{("c", 1)}, {("c", 1)}]


def test_edits_from_several_threads_all_arrive():
    tags = Tags()

    def edit(name):
        for unit in range(200):
            tags.add("conv1", unit, name)
            tags.count("conv1", 200)

    threads = [threading.Thread(target=edit, args=(f"word {k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(tags.of("conv1", unit)) == 4 for unit in range(200))
    assert {count.units for count in tags.count("conv1", 200)} == {200}


@pytest.mark.slow
def test_pandas_is_not_imported_unasked():
    code = (
        "import sys; from peek_widget.sheet.tags import Tags; t = Tags({'c': {0: ['a']}});"
        "t.to_csv(), t.to_json(), t.count('c', 3), t | t; sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
