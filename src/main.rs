//! The `netra` command.

fn main() -> std::process::ExitCode {
    netra::cli::main()
}
