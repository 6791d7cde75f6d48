//! The `netra` command.

/// Gives memory back to the system after a burst of work, where the system's allocator keeps it in fragments; `docs/performance.md`
/// has figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    netra::cli::main()
}
