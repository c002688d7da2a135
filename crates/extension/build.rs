//! Tells the code which CPython it is built for, and the module how it was built.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let profile = profile_name().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=EPICYCLE_PROFILE={profile}");
    println!("cargo:rerun-if-changed=build.rs");
}

/// The profile's own name: `PROFILE` says `release` for every profile that inherits from it, the output folder does
/// not (`target/[TRIPLE/]NAME/build/epicycle-extension-HASH/out`).
fn profile_name() -> Option<String> {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR")?);
    Some(out.ancestors().nth(3)?.file_name()?.to_str()?.to_owned())
}
