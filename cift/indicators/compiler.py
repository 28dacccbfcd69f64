"""From an indicator's `update` to machine code, kept between processes.

Numba compiles the loop over `update` once. Its own cache would still cost every process about 1.2 s (0.55 s to import
Numba, 0.65 s to set up its types before the first cached call), lies beside source files, and so forgets what a
notebook cell defines. Here the object code is stored under a hash of everything it was made from, and later processes
link it through llvmlite alone (0.07 s), Numba never being imported. The hash covers the bytecode of `update` and of all
it calls, the constants and classes it reads, the types, the compiler's versions and the processor: whatever changes,
another file is used.
"""

from __future__ import annotations

import builtins
import ctypes
import functools
import hashlib
import itertools
import os
import platform
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cift.config import cache_folder
from cift.errors import NotSupported
from cift.indicators.sources import Quote

FORMAT: Final = b"cift kernel 1\n"
DIGEST_BYTES: Final = 32
STEADY_MODULES: Final = frozenset({"math", "numpy", "numba"})
"""Modules whose names mean the same for one version of Numba; what another module holds is not seen by the hash."""

HEADER_SLOTS: Final = 2
"""Slots of a state before its fields: how many rows were observed, and the bits of the last value."""


@dataclass(frozen=True)
class Signature:
    """The types of one kernel.

    Args:
        fields: name and kind of each field of the state: "int", "float", "bool", "ints" or "floats" (a buffer).
        params: the kind of each parameter after `x`: "int", "float" or "bool".
        inputs: for each column, whether `update` gets it as a float or as an int counted in steps.
    """

    fields: tuple[tuple[str, str], ...]
    params: tuple[str, ...]
    inputs: tuple[str, ...]


class CompiledLoop:
    """The loop over `update` as a C function; `owner` keeps its code in memory."""

    def __init__(self, address: int, arguments: int, owner: object) -> None:
        self.call = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * (arguments + 2))(address)
        self._owner = owner


class UnknownContentError(Exception):
    """Something whose content cannot be hashed, so that the compiled code is kept in this process only."""


# ------------------------------------------------------------------ the loop that is compiled


def loop_source(signature: Signature) -> str:
    """Python source of the loop over `update` for one signature.

    Fields of the state travel by value, in registers; buffers stay where they are. Returns -1, or the number of the
    first row that is not on the grid (column * rows + row), and then nothing has been changed.
    """
    columns = range(len(signature.inputs))
    arrays = [f"x{i} = array_at(column{i}, rows)" for i in columns]
    checks: list[str] = []
    for i in columns:
        if signature.inputs[i] == "int":
            checks += [
                "for i in range(rows):",
                f"    steps = x{i}[i] * grid_at[{2 * i + 1}] / grid_at[{2 * i}]",
                "    if steps == steps and not (",
                "        abs(steps - np.rint(steps)) <= max(1e-6, 8.9e-16 * abs(steps))",
                "        and abs(steps) < 9007199254740992.0",
                "    ):",
                f"        return {i} * rows + i",
            ]
    loads, values, stores, buffers = [], [], [], []
    for slot, (name, kind) in enumerate(signature.fields, start=HEADER_SLOTS):
        if kind in ("ints", "floats"):
            memory = "whole" if kind == "ints" else "real"
            loads += [f"buffer{slot} = {memory}[end : end + whole[{slot}]]", f"end += whole[{slot}]"]
            values.append(f"buffer{slot}")
            buffers.append(f"buffer{slot}")
            continue
        loads.append(
            {"int": f"s{slot} = whole[{slot}]", "float": f"s{slot} = real[{slot}]"}.get(kind, f"s{slot} = whole[{slot}] != 0")
        )
        values.append(f"s{slot}")
        cast = {"int": "int64", "float": "float64", "bool": "boolean"}[kind]
        buffers.append(f"{cast}(new.{name})")
        stores.append(f"{'real' if kind == 'float' else 'whole'}[{slot}] = state.{name}")
    params = {"int": "whole_params[{}]", "float": "real_params[{}]", "bool": "(whole_params[{}] != 0)"}
    given = "".join(f", {params[kind].format(i)}" for i, kind in enumerate(signature.params))
    taken = [
        f"np.int64(np.rint(x{i}[i] * grid_at[{2 * i + 1}] / grid_at[{2 * i}]))" if signature.inputs[i] == "int" else f"x{i}[i]"
        for i in columns
    ]
    x = taken[0] if len(taken) == 1 else f"Quote({', '.join(taken)})"
    missing = " or ".join(f"x{i}[i] != x{i}[i]" for i in columns)
    head_slots = HEADER_SLOTS + len(signature.fields)
    column_names = "".join(f"column{i}, " for i in columns)
    lines = [
        f"def run(memory, memory_f, params, params_f, grid, {column_names}out, rows, lookback, slots):",
        "    whole = array_at(memory, slots)",
        "    real = array_at(memory_f, slots)",
        f"    whole_params = array_at(params, {len(signature.params)})",
        f"    real_params = array_at(params_f, {len(signature.params)})",
        f"    grid_at = array_at(grid, {2 * len(signature.inputs)})",
        *(f"    {line}" for line in arrays),
        *(f"    {line}" for line in checks),
        "    y = array_at(out, rows)",
        f"    end = {head_slots}",
        *(f"    {line}" for line in loads),
        f"    state = State({', '.join(values)})",
        "    seen = whole[0]",
        "    for i in range(rows):",
        f"        if {missing}:",
        "            y[i] = np.nan",
        "        else:",
        f"            new, value = update(state, {x}{given})",
        f"            state = State({', '.join(buffers)})",
        "            y[i] = float64(value) if seen >= lookback else np.nan",
        "            seen += 1",
        *(f"    {line}" for line in stores),
        "    whole[0] = seen",
        "    if rows > 0:",
        "        real[1] = y[rows - 1]",
        "    return -1",
    ]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------ what the code was made from


def content(value: Any, seen: tuple[int, ...] = ()) -> Iterator[bytes]:
    """The bytes that decide what `value` does inside `update`: of a function its code and all that this code reads.

    Raises:
        UnknownContentError: for objects whose content cannot be told, such as a constant of another module.
    """
    if id(value) in seen:
        yield b"again"
        return
    seen = (*seen, id(value))
    value = getattr(value, "py_func", value)  # what `numba.njit` wrapped
    if isinstance(value, types.FunctionType):
        yield from content(value.__code__, seen)
        yield from content(value.__defaults__, seen)
        for cell in value.__closure__ or ():
            yield from content(cell.cell_contents, seen)
        for name in sorted(names_read(value.__code__)):
            if name in value.__globals__:
                yield name.encode()
                yield from content(value.__globals__[name], seen)
    elif isinstance(value, types.CodeType):
        yield value.co_code
        yield repr((value.co_names, value.co_varnames, value.co_freevars, value.co_argcount)).encode()
        for constant in value.co_consts:
            yield from content(constant, seen)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        yield repr((type(value).__name__, value)).encode()
    elif isinstance(value, tuple):
        yield b"tuple %d" % len(value)
        for item in value:
            yield from content(item, seen)
    elif isinstance(value, frozenset):
        yield from sorted(b"".join(content(item, seen)) for item in value)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield repr((value.dtype.str, value.shape)).encode()
        yield value.tobytes()
    elif isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
        yield repr((value.__qualname__, value._fields)).encode()
    elif isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] in STEADY_MODULES:
        yield value.__name__.encode()
    elif isinstance(value, np.ufunc) or str(getattr(value, "__module__", "")).partition(".")[0] in STEADY_MODULES:
        yield getattr(value, "__qualname__", repr(value)).encode()
    elif isinstance(value, types.BuiltinFunctionType | type) and value.__module__ == builtins.__name__:
        yield value.__name__.encode()
    else:
        raise UnknownContentError(f"{value!r}")


def names_read(code: types.CodeType) -> set[str]:
    """The names that a function and the functions inside it may look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_read(constant)
    return names


@functools.cache
def toolchain() -> str:
    """All that makes code from source here: versions, processor, and Numba's settings in the environment."""
    import importlib.metadata

    llvm = _llvm()
    return repr(
        (
            platform.machine(),
            sys.platform,
            sys.version_info[:2],
            np.__version__,
            importlib.metadata.version("numba"),
            importlib.metadata.version("llvmlite"),
            llvm.get_host_cpu_name(),
            sorted(name for name, present in llvm.get_host_cpu_features().items() if present),
            sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_")),
        )
    )


def cache_key(update: Callable[..., Any], signature: Signature, source: str) -> str:
    """The hash under which the compiled code is kept; see the head of this file for what it covers."""
    digest = hashlib.blake2b(repr((source, signature, toolchain())).encode(), digest_size=DIGEST_BYTES)
    for part in content(update):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


# ------------------------------------------------------------------ kept code


def kernels_folder() -> Path:
    """Where compiled kernels are kept."""
    return cache_folder() / "kernels"


def read_kept(path: Path) -> tuple[str, bytes] | None:
    """Name and object code from a file, or None where it is absent, cut short or changed."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(FORMAT) + DIGEST_BYTES
    body = data[start:]
    digest = hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()
    if not data.startswith(FORMAT) or data[len(FORMAT) : start] != digest:
        return None
    name, _, image = body.partition(b"\0")
    return name.decode(), image


def keep(path: Path, name: str, image: bytes) -> None:
    """Write name and object code whole or not at all; where it cannot be written, later processes compile again."""
    body = name.encode() + b"\0" + image
    data = FORMAT + hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest() + body
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            file.write(data)
        Path(file.name).replace(path)
    except OSError:
        return


# ------------------------------------------------------------------ compiling and linking

_lock = threading.Lock()
_loops: dict[str, CompiledLoop] = {}
_linker: list[Any] = []
_numbers = itertools.count()


def compiled(update: Callable[..., Any], state_class: type, signature: Signature) -> CompiledLoop:
    """The loop over `update`, linked: from this process, from the user's cache, or compiled now (2 s in a fresh
    process).

    Raises:
        NotSupported: where Numba cannot compile `update`; the message has Numba's reason.
    """
    source = loop_source(signature)
    try:
        key = cache_key(update, signature, source + state_class.__qualname__)
    except UnknownContentError:
        key = ""
    with _lock:
        if key in _loops:
            return _loops[key]
        path = kernels_folder() / f"{key}.kernel"
        kept = read_kept(path) if key else None
        arguments = 9 + len(signature.inputs)
        if kept is not None:
            loop = linked(*kept, arguments)
            if loop is not None:
                _loops[key] = loop
                return loop
        name, image, library = compile_with_numba(update, state_class, signature, source)
        loop = linked(name, image, arguments)
        if loop is None:  # no linker for this platform's object files: Numba's own copy, in this process only
            loop = CompiledLoop(library.get_pointer_to_function(name), arguments, library)
        elif key:
            keep(path, name, image)
        if key:
            _loops[key] = loop
        return loop


def linked(name: str, image: bytes, arguments: int) -> CompiledLoop | None:
    """Object code brought into memory without Numba, or None where LLVM cannot link it."""
    llvm = _llvm()

    if not _linker:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        _linker.append(llvm.create_lljit_compiler(suppress_errors=True))
    builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process().export_symbol(name)
    try:
        tracker = builder.link(_linker[0], f"kernel {next(_numbers)}")
    except RuntimeError:
        return None
    return CompiledLoop(tracker[name], arguments, tracker)


def compile_with_numba(
    update: Callable[..., Any], state_class: type, signature: Signature, source: str
) -> tuple[str, bytes, Any]:
    """Compile the loop; returns the function's name, its object code, and Numba's library that holds it too.

    `error_model="numpy"`, no fastmath, and no allocation: what an update returns is numbers and the buffers it was
    given.
    """
    import numba
    from numba.core.errors import NumbaError

    llvm, njit = _llvm(), _njit()
    options = {"error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    inner = inlined(update, options)
    names: dict[str, Any] = {
        "array_at": _array_at(),
        "update": inner,
        "State": state_class,
        "Quote": Quote,
        "np": np,
        "int64": numba.int64,
        "float64": numba.float64,
        "boolean": numba.boolean,
    }
    exec(compile(source, f"<loop over {update.__name__}>", "exec"), names)
    pointer: Any = numba.types.CPointer
    whole, real = pointer(numba.int64), pointer(numba.float64)
    size = numba.types.intp
    arguments = (whole, real, whole, real, real, *[real] * len(signature.inputs), real, size, size, size)
    try:
        function = njit(numba.int64(*arguments), **options)(names["run"])
    except NumbaError as error:
        raise NotSupported(
            f"{update.__name__} cannot be compiled: {reason(str(error))}; an update works on numbers, tuples and the "
            "buffers of its state, returns (State, number), and creates no arrays, lists or text"
        ) from error
    result = function.overloads[arguments]
    module = llvm.parse_assembly(result.library.get_llvm_str())
    called = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    if any(name.startswith(("Py", "numba_", "NRT_")) for name in called):
        raise NotSupported(
            f"{update.__name__} calls back into Python or allocates ({', '.join(called)}); "
            "keep arrays in the state and compute on numbers only"
        )
    return result.fndesc.llvm_func_name, result.library.codegen._tm.emit_object(module), result.library


def inlined(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """`function` for Numba, with the plain functions of its module that it calls compiled into it."""
    function = getattr(function, "py_func", function)
    space = dict(function.__globals__)
    for name in names_read(function.__code__):
        called = space.get(name)
        if isinstance(called, types.FunctionType) and called is not function and called.__module__ not in STEADY_MODULES:
            space[name] = inlined(called, options)
    copy = types.FunctionType(function.__code__, space, function.__name__, function.__defaults__, function.__closure__)
    copy.__module__ = function.__module__
    return _njit()(copy, forceinline=True, **options)


def reason(message: str) -> str:
    """The sentence of a Numba error that says what is wrong, without the frames around it."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Failed in", "During:", "File ", "def ", "^", ">>>", "<source"))]
    return (told or lines)[0].rstrip(".")


def _llvm() -> Any:
    """llvmlite, imported where something is compiled or linked and not before."""
    import llvmlite.binding  # type: ignore[import-untyped, unused-ignore]

    return llvmlite.binding


def _njit() -> Any:
    """Numba's decorator without its types, which know neither `_nrt` nor the options for wrappers."""
    from numba import njit

    return njit


def _array_at() -> Any:
    """A Numba intrinsic: the contiguous array that begins at a pointer (`numba.carray` would count references)."""
    from numba.core import types as numba_types
    from numba.extending import intrinsic
    from numba.np import arrayobj

    populate_array: Any = arrayobj.populate_array

    def array_at(_context: Any, pointer: Any, _length: Any) -> Any:
        array = numba_types.Array(pointer.dtype, 1, "C")

        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            data, length = arguments
            made = context.make_array(array)(context, builder)
            item = context.get_constant(numba_types.intp, 8)
            populate_array(made, data=data, shape=[length], strides=[item], itemsize=item, meminfo=None)
            return made._getvalue()

        return array(pointer, numba_types.intp), codegen

    return intrinsic(array_at)
