//! The `netra` command.

/// Returns memory to the system after a burst of work, which the system's allocator does not because of fragmentation; see
/// `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    netra::cli::main()
}
