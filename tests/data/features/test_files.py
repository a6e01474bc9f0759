from __future__ import annotations

import io
import sys
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from safetensors.numpy import save_file

from crosshash.data.features.files import list_variables

RNG = np.random.default_rng(0)
A = RNG.random((6, 4))
B = RNG.integers(0, 2, (6, 3)).astype(np.uint8)


def variables(path):
    return {item.name: item for item in list_variables(path)}


def write_v73(path, arrays):
    """As MATLAB writes: axes reversed, a header of 512 bytes, a class on every variable."""
    h5py = pytest.importorskip("h5py", reason="MATLAB 7.3 files need h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if scipy.sparse.issparse(array):
                matrix = array.tocsc()
                group = file.create_group(name)
                group.attrs["MATLAB_sparse"] = np.uint64(matrix.shape[0])
                group.attrs["MATLAB_class"] = np.bytes_("double")
                group["jc"] = matrix.indptr.astype(np.uint64)
                if matrix.nnz:
                    group["ir"] = matrix.indices.astype(np.uint64)
                    group["data"] = matrix.data
                continue
            file[name] = np.asarray(array).T
            kind = {"f": "double", "u": "uint8", "b": "logical"}[np.asarray(array).dtype.kind]
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def write_h5(path, arrays):
    h5py = pytest.importorskip("h5py", reason="HDF5 files need h5py")
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


WRITERS = {
    "5.mat": lambda path, arrays: scipy.io.savemat(path, arrays),
    "5z.mat": lambda path, arrays: scipy.io.savemat(path, arrays, do_compression=True),
    "4.mat": lambda path, arrays: scipy.io.savemat(path, arrays, format="4"),
    "73.mat": write_v73,
    "plain.h5": write_h5,
    "a.npz": lambda path, arrays: np.savez(path, **arrays),
    "z.npz": lambda path, arrays: np.savez_compressed(path, **arrays),
    "a.safetensors": lambda path, arrays: save_file(arrays, path),
}


@pytest.mark.usefixtures("matlab_here")
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_names_shapes_and_values(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path, {"A": A, "B": B})
    found = variables(path)
    assert {key: item.shape for key, item in found.items()} == {"A": (6, 4), "B": (6, 3)}
    np.testing.assert_array_equal(found["A"].read(), A)
    np.testing.assert_array_equal(found["B"].read(), B)


def test_an_npy_file_is_named_by_its_file_and_mapped(tmp_path):
    np.save(tmp_path / "image.npy", A)
    (item,) = list_variables(tmp_path / "image.npy")
    assert (item.name, item.shape, str(item)) == ("image", (6, 4), "image (6 × 4)")
    array = item.read()
    np.testing.assert_array_equal(array, A)
    assert not array.flags.owndata


@pytest.mark.usefixtures("matlab_here")
@pytest.mark.parametrize("name", ["5.mat", "73.mat"])
def test_sparse_matrices_become_dense(tmp_path, name):
    tags = scipy.sparse.random(7, 5, density=0.4, random_state=0, format="csc")
    path = tmp_path / name
    WRITERS[name](path, {"T": tags, "empty": scipy.sparse.csc_matrix((7, 5))})
    found = variables(path)
    assert found["T"].shape == (7, 5)
    np.testing.assert_allclose(found["T"].read(), tags.toarray(), rtol=1e-6)
    assert found["T"].read().dtype == np.float32
    assert not found["empty"].read().any()


def test_pictures_of_a_73_file_keep_matlabs_axes(tmp_path):
    pictures = RNG.integers(0, 256, (8, 9, 3, 5), dtype=np.uint8)
    write_v73(tmp_path / "i.mat", {"IAll": pictures})
    (item,) = list_variables(tmp_path / "i.mat")
    assert item.shape == (8, 9, 3, 5)
    np.testing.assert_array_equal(item.read(), pictures)


@pytest.mark.parametrize("name", [*WRITERS, "a.npy"])
def test_files_that_are_cut_off_are_refused(tmp_path, name):
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, A)
    else:
        WRITERS[name](path, {"A": A, "B": B})
    whole = path.read_bytes()
    for length in (0, 10, 130, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{name}: .*"):
            [item.read() for item in list_variables(path)]


@pytest.mark.parametrize("name", ["a.mat", "a.h5", "a.npy", "a.npz", "a.safetensors"])
def test_files_of_noise_are_refused(tmp_path, name):
    if name == "a.h5":
        pytest.importorskip("h5py", reason="HDF5 files need h5py")
    path = tmp_path / name
    path.write_bytes(RNG.bytes(700))
    with pytest.raises(ValueError, match=rf"{name}: cannot be read as an? "):
        [item.read() for item in list_variables(path)]


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was executed')",))


def test_pickles_are_never_executed(tmp_path):
    objects = np.array([Bomb()], dtype=object)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "a.npz", A=objects)
    for name in ("a.npy", "a.npz"):
        (item,) = list_variables(tmp_path / name)
        assert item.kind == "pickled Python objects"
        with pytest.raises(ValueError, match=r"pickled Python objects; only arrays of numbers"):
            item.read()


def test_other_contents_are_named_and_not_read(tmp_path):
    cells = np.array(["a.jpg", "b.jpg"], dtype=object)
    content = {"F": cells, "param": {"x": 1.0}, "note": "text", "A": A, "C": A + 1j}
    scipy.io.savemat(tmp_path / "a.mat", content)
    found = variables(tmp_path / "a.mat")
    assert {name: found[name].kind for name in ("F", "param", "note", "A")} == {
        "F": "a cell array",
        "param": "a struct array",
        "note": "a char array",
        "A": "numbers",
    }
    with pytest.raises(ValueError, match="F is a cell array; only arrays of numbers are read"):
        found["F"].read()
    with pytest.raises(ValueError, match=r"C is complex128 .* expected real numbers"):
        found["C"].read()
    np.save(tmp_path / "s.npy", np.array(["a", "b"]))
    assert "array of <U1" in list_variables(tmp_path / "s.npy")[0].kind


def test_links_out_of_an_hdf5_file_are_not_followed(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 files need h5py")
    np.save(tmp_path / "secret.npy", A)
    write_h5(tmp_path / "secret.h5", {"A": A})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["outer"] = h5py.ExternalLink("secret.h5", "A")
        file["soft"] = h5py.SoftLink("/A")
        raw = [(str(tmp_path / "secret.npy"), 0, 64)]
        file.create_dataset("raw", (8,), dtype="f8", external=raw)
        layout = h5py.VirtualLayout((6, 4), dtype="f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "A", (6, 4))
        file.create_virtual_dataset("virtual", layout)
        file["cells"] = np.array([b"x"], dtype=h5py.string_dtype())
        file.create_group("group")
    found = variables(tmp_path / "a.h5")
    kinds = {name: item.kind for name, item in found.items()}
    assert all(kinds[name] == "a link to elsewhere" for name in ("outer", "soft", "raw", "virtual"))
    assert kinds["cells"] == "a object array"
    assert kinds["group"] == "a group"
    with pytest.raises(ValueError, match="outer is a link to elsewhere"):
        found["outer"].read()


def test_sparse_indices_outside_the_matrix_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 files need h5py")
    write_v73(tmp_path / "a.mat", {"T": scipy.sparse.csc_matrix(np.eye(4))})
    with h5py.File(tmp_path / "a.mat", "r+") as file:
        file["T/ir"][2] = 10**6
    with pytest.raises(ValueError, match=r"a\.mat: cannot be read as an HDF5"):
        variables(tmp_path / "a.mat")["T"].read()


def test_a_73_file_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.mat").write_bytes(bytes(512) + b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'crosshash\[matlab\]'"):
        list_variables(tmp_path / "a.mat")


def test_numbers_that_numpy_does_not_have_are_named(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    save_torch({"A": torch.ones(2, 2, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    (item,) = list_variables(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="A is of the type BF16, which NumPy does not have"):
        item.read()


def test_members_of_an_archive_that_are_no_arrays_are_left_out(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, A)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("A.npy", buffer.getvalue())
        archive.writestr("README.txt", "text")
    assert list(variables(tmp_path / "a.npz")) == ["A"]


def test_unknown_formats_and_missing_files_are_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match=r"the format \.pkl is unknown; known: \.h5"):
        list_variables(tmp_path / "a.pkl")
    with pytest.raises(FileNotFoundError, match=r"b\.mat: no such file"):
        list_variables(tmp_path / "b.mat")


def npy(header, data=b"", version=1):
    text = header.encode("latin-1")
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def described(shape, kind="<f8"):
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy(described("(1000000000000,)"), bytes(16)), "8,000,000,000,000 bytes, and has 16"),
        (npy(described("(2,)"), bytes(24)), "16 bytes, and has 24"),
        (npy(described("(-2, -1)"), bytes(16)), "shape"),
        (npy("-" * 9000 + "1"), "header"),
        (npy("[" * 9000), "header"),
        (npy(" " * 11_000 + described("(2,)"), bytes(16)), "header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 100, "header"),
    ],
)
def test_a_numpy_header_that_lies_is_refused(tmp_path, content, said):
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("A.npy", content)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match=rf"{name}: cannot be read as a NumPy .*{said}"):
            list_variables(tmp_path / name)


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("crosshash.untrusted.UNPACKED_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", A=np.zeros(100_000), B=np.zeros(100_000))
    with pytest.raises(ValueError, match=r"a\.npz: .*would unpack to 1,600,256 bytes"):
        list_variables(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", A=np.zeros(100_000), B=np.zeros(100_000))
    assert list(variables(tmp_path / "a.npz")) == ["A", "B"]


def test_an_archive_with_a_name_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("A.npy", npy(described("(1,)"), bytes(8)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("A.npy", npy(described("(1,)"), bytes(8)))
    with pytest.raises(ValueError, match=r"a\.npz: .*'A\.npy' twice"):
        list_variables(tmp_path / "a.npz")


def test_an_hdf5_array_that_was_never_written_is_not_made(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 files need h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("A", (2**31, 100), dtype="f8", chunks=(1000, 100))
    with pytest.raises(ValueError, match=r"a\.h5: .*'A' would unpack to 1,717,986,918,400 bytes"):
        variables(tmp_path / "a.h5")["A"].read()
    write_v73(tmp_path / "a.mat", {"T": scipy.sparse.csc_matrix(np.eye(4))})
    with h5py.File(tmp_path / "a.mat", "r+") as file:
        file["T"].attrs["MATLAB_sparse"] = np.uint64(2**40)
    with pytest.raises(ValueError, match=r"a\.mat: .*sparse variable 'T' would unpack"):
        variables(tmp_path / "a.mat")["T"].read()


def test_links_inside_of_a_sparse_matrix_are_not_followed(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 files need h5py")
    write_v73(tmp_path / "a.mat", {"T": scipy.sparse.csc_matrix(np.eye(4))})
    write_h5(tmp_path / "secret.h5", {"data": np.ones(4)})
    with h5py.File(tmp_path / "a.mat", "r+") as file:
        del file["T/data"]
        file["T/data"] = h5py.ExternalLink("secret.h5", "data")
    with pytest.raises(ValueError, match=r"a\.mat: .*data of the sparse variable 'T' is a link"):
        variables(tmp_path / "a.mat")["T"].read()


def test_a_safetensors_header_that_lies_is_refused(tmp_path):
    header = b'{"A":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors: .*4000000000000 bytes of tensors"):
        list_variables(tmp_path / "a.safetensors")
