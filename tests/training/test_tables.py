"""Tables of images: what is read of a CSV, and what is refused."""

from pathlib import Path

import pytest

from resnet_layers.training import tables


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def test_paths_are_relative_to_the_table_and_labels_are_classes(tmp_path: Path) -> None:
    path = table(tmp_path / "a.CSV", "label,more,path", "dog,1,x/1.png", '"a, b",2,2.jpg', "dog,,3")
    found = tables.whole(path)
    assert tables.parts(path) is None
    assert found.class_names == ["a, b", "dog"]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.sources == [tmp_path / "x/1.png", tmp_path / "2.jpg", tmp_path / "3"]
    assert found.names == ["x/1.png", "2.jpg", "3"]
    assert found.title == f"the table '{path}'"


def test_a_table_may_be_split(tmp_path: Path) -> None:
    lines = ["1,dog,train", "2,cat,train", "3,cat,valid", "4,dog,test", "5,cat,test"]
    path = table(tmp_path / "a.csv", "path,label,split", *lines)
    found = tables.parts(path)
    assert found is not None
    assert list(found) == ["train", "validation", "test"]
    assert [part.labels.tolist() for part in found.values()] == [[1, 0], [0], [1, 0]]
    assert tables.whole(path).names == [*("train/1", "train/2", "validation/3", "test/4", "test/5")]


def test_a_folder_that_ends_in_csv_is_a_folder(tmp_path: Path) -> None:
    image = tmp_path / "photos.csv" / "cat" / "a.png"
    image.parent.mkdir(parents=True)
    image.touch()
    assert tables.whole(image.parent.parent).names == ["cat/a.png"]


@pytest.mark.parametrize("name", ["train", "val", "valid", "validation", "test"])
def test_every_name_of_a_part_is_known(tmp_path: Path, name: str) -> None:
    path = table(tmp_path / "a.csv", "path,label,split", "1,dog,train", f"2,dog,{name}")
    assert (tables.parts(path) is None) == (name == "train")


def test_several_labels_are_rows_and_none_is_a_row_of_zeros(tmp_path: Path) -> None:
    lines = ["1,dog; cat,train", "2,cat,train", "3,,train", "4,owl;dog;,train", "5,owl;owl,test"]
    path = table(tmp_path / "a.csv", "path,label,split", *lines)
    found = tables.parts(path)
    assert found is not None
    assert found["train"].class_names == found["test"].class_names == ["cat", "dog", "owl"]
    assert found["train"].labels.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert found["test"].labels.tolist() == [[0, 0, 1]]
    whole = tables.whole(path)
    assert whole.several
    assert whole.counts().tolist() == [2, 2, 2]


def test_a_semicolon_alone_lets_images_have_several_labels_or_none(tmp_path: Path) -> None:
    found = tables.whole(table(tmp_path / "a.csv", "path,label", "1, dog ", "2,cat", "3,;"))
    assert (found.class_names, found.labels.tolist()) == (["cat", "dog"], [[0, 1], [1, 0], [0, 0]])
    found = tables.whole(table(tmp_path / "a.csv", "path,label", "1, dog ", "2,dog", "3,a b"))
    assert (found.class_names, found.labels.tolist()) == (["a b", "dog"], [1, 1, 0])
