//! `netra-bindgen WASM FOLDER`: from the compiled page, linked with `--emit-relocs`, writes to `FOLDER` what a browser loads:
//! `netra.js`, `netra_bg.wasm`, a `.wasm` file for each part of the page that is loaded only when it is shown, and
//! `__wasm_split.js`, which loads these and which `netra.js` imports.

use std::{env, error::Error, fs, path::Path, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [wasm, folder] = arguments.as_slice() else {
        eprintln!("usage: netra-bindgen WASM FOLDER");
        return ExitCode::from(2);
    };
    match generate(Path::new(wasm), Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error:#}", wasm.display());
            ExitCode::FAILURE
        }
    }
}

fn generate(wasm: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let first_file = folder.join("first.wasm");
    let input = fs::read(wasm)?;
    let mut options = wasm_split_cli_support::Options::new(&input);
    options.output_dir = folder;
    options.main_out_path = &first_file;
    options.main_module = "./netra.js";
    wasm_split_cli_support::transform(options)?;
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(&first_file)
        .out_name("netra")
        .typescript(false)
        // The parts import what the linker exports.
        .keep_lld_exports(true)
        .remove_name_section(true)
        .remove_producers_section(true);
    bindgen.web(true)?.generate(folder)?;
    fs::remove_file(first_file)?;
    Ok(())
}
