//! Hashes the sources of the crate: the engine's part of a run's fingerprint, the same for every build of them.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut found = Vec::new();
    sources(&root.join("src"), &mut found)?;
    found.sort();
    let mut hasher = blake3::Hasher::new();
    for path in found {
        let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        hasher.update(name.as_bytes());
        // A checkout may end its lines in another way; the engine is the same.
        let text = fs::read_to_string(&path)?.replace("\r\n", "\n");
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rustc-env=CIFT_ENGINE_HASH={}", hasher.finalize().to_hex());
    Ok(())
}
