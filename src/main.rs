//! The `netra` command.

/// Returns memory to the system after a burst of work, where the system's allocator keeps it fragmented; see `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    netra::cli::main()
}
