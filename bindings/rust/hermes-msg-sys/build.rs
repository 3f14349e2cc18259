//! Builds the client library from its C sources; with the feature `system`, finds an installed one.

#[cfg(not(feature = "system"))]
use std::path::{Path, PathBuf};

#[cfg(feature = "system")]
fn main() {
    pkg_config::Config::new()
        .atleast_version("0.1.0")
        .probe("hermes")
        .expect("the feature `system` needs libhermes and its hermes.pc: see PKG_CONFIG_PATH");
}

#[cfg(not(feature = "system"))]
fn main() {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("csrc");
    let mut sources = Vec::new();
    for folder in ["base", "message", "ring", "group", "log", "wire", "client"] {
        sources.extend(c_files(&root.join("src").join(folder)));
    }
    let io = root.join("src/io");
    let carriers = std::fs::read_to_string(io.join("client_sources.txt")).expect("the list that CMake reads, too");
    sources.extend(carriers.lines().map(|name| io.join(name)));
    // OpenSSL is loaded by the library itself, for the first tls:// URL: only its headers are needed here.
    sources.push(io.join("openssl_loaded.c"));
    for folder in ["include/hermes", "src"] {
        println!("cargo:rerun-if-changed={}", root.join(folder).display());
    }
    cc::Build::new()
        .files(&sources)
        .include(root.join("include"))
        .include(root.join("src"))
        .define("_GNU_SOURCE", None)
        .std("gnu17")
        .flag("-fvisibility=hidden")
        .opt_level(3)
        .compile("hermes");
    println!("cargo:rustc-link-lib=z");
    println!("cargo:include={}", root.join("include").display());
}

#[cfg(not(feature = "system"))]
fn c_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    files.sort();
    files
}
