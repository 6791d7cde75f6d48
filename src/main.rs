//! The `netra` command.

/// mimalloc returns memory to the operating system after a burst of work; glibc's allocator keeps it, because of fragmentation. See
/// `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    netra::cli::main()
}
