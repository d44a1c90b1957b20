"""CIFAR-10's files and the published C-scores: read as published, and refused in one sentence where they are not."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
from cscore_cases import PIXELS, batch, binary, pickled, published, write_batches, write_scores

from augscope.images.cscores.cifar import from_binary, from_pickle, read_cifar10
from augscope.images.cscores.data import hold_out, read_data
from augscope.images.cscores.published import read_scores, scores_file


class TestBatches:
    @pytest.mark.parametrize("ending", [".bin", ""])
    @pytest.mark.parametrize("inside", [False, True])
    def test_five_batches_come_in_order(self, tmp_path, ending, inside):
        place = tmp_path / ("cifar-10-batches-bin" if ending else "cifar-10-batches-py") if inside else tmp_path
        images, labels = write_batches(place, ending=ending)
        found = read_cifar10(tmp_path)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, labels)
        assert found.images.dtype == np.uint8
        assert found.class_names[9] == "truck"

    @pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
    def test_what_this_python_pickles_is_read(self, protocol):
        images, labels = batch(30, 0)
        found, found_labels = from_pickle(pickled(images, labels, protocol))
        np.testing.assert_array_equal(found.reshape(-1, PIXELS), images)
        assert found_labels.tolist() == labels

    def test_the_published_opcodes_say_what_pickle_takes_them_for(self):
        images, labels = batch(300, 1)  # more than 256: both ways of writing a number
        content = published(images, labels)
        trusted = pickle.loads(content, encoding="latin1")  # written above, so it may be loaded here
        np.testing.assert_array_equal(trusted["data"], images)
        found, found_labels = from_pickle(content)
        np.testing.assert_array_equal(found.reshape(-1, PIXELS), images)
        assert found_labels.tolist() == labels == trusted["labels"]

    def test_missing_batches_are_named(self, tmp_path):
        write_batches(tmp_path)
        (tmp_path / "data_batch_2.bin").unlink()
        (tmp_path / "data_batch_5.bin").unlink()
        with pytest.raises(ValueError, match=r"without data_batch_2\.bin, data_batch_5\.bin$"):
            read_cifar10(tmp_path)

    def test_a_folder_with_none_and_no_folder(self, tmp_path):
        with pytest.raises(ValueError, match="with none of them"):
            read_cifar10(tmp_path)
        with pytest.raises(ValueError, match="`data` must be digits or a folder"):
            read_data(str(tmp_path / "nowhere"))

    @pytest.mark.parametrize("cut", [1, 3072])
    def test_a_truncated_file_is_named_with_its_size(self, tmp_path, cut):
        write_batches(tmp_path)
        path = tmp_path / "data_batch_3.bin"
        path.write_bytes(path.read_bytes()[:-cut])
        with pytest.raises(ValueError, match=rf"data_batch_3\.bin: it has {20 * 3073 - cut:,} bytes.*truncated$"):
            read_cifar10(tmp_path)

    def test_a_file_cut_between_two_images_shows_by_its_length(self, tmp_path):
        write_batches(tmp_path)
        path = tmp_path / "data_batch_3.bin"
        path.write_bytes(path.read_bytes()[:-3073])
        with pytest.raises(ValueError, match=r"batches of one length, got 19 in .*data_batch_3\.bin and 20"):
            read_cifar10(tmp_path)

    def test_an_empty_file(self, tmp_path):
        write_batches(tmp_path)
        (tmp_path / "data_batch_1.bin").write_bytes(b"")
        with pytest.raises(ValueError, match=r"data_batch_1\.bin: it has 0 bytes$"):
            read_cifar10(tmp_path)

    @pytest.mark.parametrize("ending", [".bin", ""])
    def test_labels_out_of_range_are_named(self, tmp_path, ending):
        write_batches(tmp_path, ending=ending)
        images, labels = batch(20, 0)
        labels[7] = 10
        content = binary(images, labels) if ending else pickled(images, labels)
        (tmp_path / f"data_batch_4{ending}").write_bytes(content)
        with pytest.raises(ValueError, match=rf"from 0 to 9, got .*data_batch_4{ending} with 10 at image 7$"):
            read_cifar10(tmp_path)


class Marker:
    """Pickles to a call that makes a file."""

    def __init__(self, path, call):
        self.path, self.call = path, call

    def __reduce__(self):
        return self.call, (str(self.path),)


ATTACKS = {
    "GLOBAL and REDUCE": lambda path: pickle.dumps({"data": Marker(path, os.mkdir)}, 2),
    "STACK_GLOBAL and REDUCE": lambda path: pickle.dumps({"data": Marker(path, os.mkdir)}, 4),
    "alone": lambda path: pickle.dumps(Marker(path, os.mkdir), 0),
    "INST": lambda path: b"(S'" + str(path).encode() + b"'\nios\nmkdir\n.",
    "OBJ": lambda path: b"(cos\nmkdir\nS'" + str(path).encode() + b"'\no.",
    "NEWOBJ": lambda path: (
        b"\x80\x02cos\nmkdir\nX" + len(str(path)).to_bytes(4, "little") + str(path).encode() + b"\x85\x81."
    ),
    "eval": lambda path: pickle.dumps(Marker(f"__import__('os').mkdir({str(path)!r})", eval), 2),
    "through an allowed name": lambda path: b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n\x8c\x05mkdir\x93.",
    "a persistent name": lambda path: b"Pos.mkdir\n.",
    "an extension": lambda path: b"\x80\x02\x82\x01.",
}


class TestNothingIsExecuted:
    @pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
    def test_a_malicious_pickle(self, tmp_path, attack):
        marker = tmp_path / "executed"
        with pytest.raises(ValueError, match=r"^it "):
            from_pickle(attack(marker))
        assert not marker.exists()

    @pytest.mark.parametrize("name", ["GLOBAL and REDUCE", "STACK_GLOBAL and REDUCE", "INST", "OBJ", "eval"])
    def test_which_pickle_would_have_executed(self, tmp_path, name):
        """Otherwise the test above would show nothing."""
        marker = tmp_path / "executed"
        pickle.loads(ATTACKS[name](marker))
        assert marker.exists()

    def test_the_sentence_names_what_the_file_would_have_called(self, tmp_path):
        write_batches(tmp_path, ending="")
        (tmp_path / "data_batch_2").write_bytes(ATTACKS["GLOBAL and REDUCE"](tmp_path / "executed"))
        with pytest.raises(ValueError, match=r"data_batch_2: it names '(posix|nt)\.mkdir', which no data file needs$"):
            read_cifar10(tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda content: content[:-1],
            lambda content: content[:100],
            lambda content: content[: len(content) // 2],
            lambda content: b"",
            lambda content: b"\x80\x02" + b"0" * 50,
            lambda content: b"\x80\x02h\x05.",
            lambda content: b"\x80\x02tb.",
            lambda content: b"\x80\x02" + b")" + b"\x85" * 100_000 + b"}h\x00s.",
            lambda content: b"\x80\x02}](K\x01K\x01e]s.",
            lambda content: content.replace(b"data", b"dato"),
            lambda content: content.replace(b"u1", b"i1"),
            lambda content: pickle.dumps([1, 2], 2),
            lambda content: pickle.dumps({"data": 3, "labels": []}, 2),
            lambda content: pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [0, 1]}, 2),
            lambda content: pickle.dumps({"data": np.zeros((2, PIXELS), np.int64), "labels": [0, 1]}, 2),
            lambda content: pickle.dumps({"data": np.zeros((2, PIXELS), np.uint8), "labels": [0]}, 2),
            lambda content: pickle.dumps({"data": np.zeros((2, PIXELS), np.uint8), "labels": [0, 10**30]}, 2),
            lambda content: pickle.dumps({"data": np.zeros((2, PIXELS), np.uint8), "labels": [True, 1]}, 2),
            lambda content: pickle.dumps(
                {"data": np.asfortranarray(np.ones((2, PIXELS), np.uint8)), "labels": [0, 1]}, 2
            ),
        ],
    )
    def test_damaged_and_foreign_pickles_are_refused(self, change):
        with pytest.raises(ValueError, match=r".+"):
            from_pickle(change(published(*batch(3, 0))))

    def test_any_single_changed_byte_is_read_or_refused(self):
        """Nothing but ValueError, wherever the damage is (400 places of the opcodes, fixed seed)."""
        content, refused = bytearray(published(*batch(2, 0))), 0
        generator = np.random.default_rng(0)
        edges = [*range(300), *range(len(content) - 60, len(content))]
        for place in generator.choice(edges, 400):
            before = content[place]
            content[place] = generator.integers(256)
            try:
                from_pickle(bytes(content))
            except ValueError:
                refused += 1
            content[place] = before
        assert refused > 100


class TestBinaryRecords:
    def test_planes_are_red_green_blue_in_rows(self):
        record = bytes([3]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes([5]) * 32 + bytes([3]) * 992
        images, labels = from_binary(record)
        assert labels.tolist() == [3]
        assert images[0, :, 1, 0].tolist() == [1, 2, 3]
        assert images[0, 2, 0].tolist() == [5] * 32


class TestPublishedScores:
    LABELS = np.arange(50) % 10

    def test_scores_come_in_order(self, tmp_path):
        scores = write_scores(tmp_path / "scores.npz", self.LABELS)
        np.testing.assert_array_equal(read_scores(tmp_path / "scores.npz", self.LABELS), scores.astype(float))

    def test_what_is_written_is_read(self, tmp_path):
        scores = np.linspace(0, 1, 50)
        (tmp_path / "own.npz").write_bytes(scores_file(self.LABELS, scores))
        np.testing.assert_array_equal(read_scores(tmp_path / "own.npz", self.LABELS), scores)

    def test_another_order_is_refused_with_the_first_index(self, tmp_path):
        labels = self.LABELS.copy()
        labels[[13, 14]] = labels[[14, 13]]
        write_scores(tmp_path / "scores.npz", labels)
        with pytest.raises(ValueError, match=r"differ first at index 13: 4, where the image has 3$"):
            read_scores(tmp_path / "scores.npz", self.LABELS)

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"scores": np.full(49, 0.5)}, r"each of the 50 images, got .* with scores of shape \(49,\)"),
            ({"labels": np.zeros((50, 1), int)}, r"labels of shape \(50, 1\)"),
            ({"scores": np.r_[np.full(7, 0.5), np.nan, np.full(42, 0.5)]}, "in .0, 1., got .* with nan at index 7"),
            ({"scores": np.r_[np.full(9, 0.5), 1.25, np.full(40, 0.5)]}, r"with 1\.25 at index 9"),
            ({"scores": np.r_[-0.5, np.full(49, 0.5)]}, r"with -0\.5 at index 0"),
            ({"scores": np.array([Marker("x", os.mkdir)] * 50, object)}, "Object arrays cannot be loaded"),
            ({"scores": np.full(50, "high")}, "must hold numbers"),
            ({"labels": np.full(50, 0.5)}, "must hold numbers"),
        ],
    )
    def test_bad_arrays_are_refused(self, tmp_path, changes, sentence, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write_scores(tmp_path / "scores.npz", self.LABELS, **changes)
        with pytest.raises(ValueError, match=sentence):
            read_scores(tmp_path / "scores.npz", self.LABELS)
        assert not (tmp_path / "x").exists()

    def test_files_that_are_no_such_archive(self, tmp_path):
        path = tmp_path / "scores.npz"
        with pytest.raises(ValueError, match=r"must be a readable file, got .*No such file"):
            read_scores(path, self.LABELS)
        for content in (b"", b"PK\x03\x04", b"nonsense"):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"must be an .npz file"):
                read_scores(path, self.LABELS)
        np.savez(path, scores=np.zeros(50))
        with pytest.raises(ValueError, match=r"it has no array labels$"):
            read_scores(path, self.LABELS)

    def test_a_file_that_unpacks_to_too_much_is_not_unpacked(self, tmp_path):
        path = tmp_path / "scores.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("scores.npy", bytes(1 << 27))
        assert path.stat().st_size < 1 << 20
        with pytest.raises(ValueError, match=r"it unpacks to 134,217,728 bytes$"):
            read_scores(path, self.LABELS)


class TestHoldOut:
    LABELS = np.repeat(np.arange(4), [40, 40, 10, 10])

    def test_every_class_gives_its_share(self):
        held = hold_out(self.LABELS, 0.3, 0)
        assert np.bincount(self.LABELS[held]).tolist() == [12, 12, 3, 3]
        assert len(set(held.tolist())) == len(held)
        np.testing.assert_array_equal(held, hold_out(self.LABELS, 0.3, 0))
        assert held.tolist() != hold_out(self.LABELS, 0.3, 1).tolist()

    @pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan")])
    def test_everything_or_nothing_is_refused(self, share):
        with pytest.raises(ValueError, match="`hold_out` must be above 0 and below 1"):
            hold_out(self.LABELS, share, 0)

    @pytest.mark.parametrize(("share", "count"), [(0.01, 0), (0.99, 40)])
    def test_so_is_a_share_that_rounds_to_that(self, share, count):
        with pytest.raises(ValueError, match=f"which holds out {count} of the 40 points of class 0"):
            hold_out(self.LABELS, share, 0)
