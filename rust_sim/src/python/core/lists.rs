//! Reading a list of our own objects.

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyList;

/// The elements of a list of frozen objects, without a new reference for each; None for one of another class. The caller
/// runs no Python code while it iterates.
#[inline]
pub(super) fn borrowed<'a, T>(list: &'a Bound<'_, PyList>) -> impl Iterator<Item = Option<&'a T>> + Clone
where
    T: PyClass<Frozen = True> + Sync,
{
    let class = T::type_object_raw(list.py());
    (0..list.len() as ffi::Py_ssize_t).map(move |at| {
        // SAFETY: the interpreter is attached, `list` is a list, and `at` is below its length, which cannot change: the
        // caller runs no Python code, and every change of a list needs some. So the pointer is that of a live object that
        // the list keeps alive.
        let element = unsafe { ffi::PyList_GetItem(list.as_ptr(), at) };
        // SAFETY: the object is alive.
        if unsafe { ffi::Py_TYPE(element) } != class {
            return None;
        }
        // SAFETY: the class was compared, and classes here have no subclasses. A frozen object may be read through a shared
        // reference, and the list, which lives for `'a`, keeps it.
        Some(unsafe { &*std::ptr::from_ref(Borrowed::from_ptr(list.py(), element).cast_unchecked::<T>().get()) })
    })
}
