//! Compiles one component for the sandbox, within limits: the program that
//! `modelzoo_sandbox::Compiler::Child` names where the embedding program cannot be started again.

fn main() -> std::process::ExitCode {
    modelzoo_sandbox::compile_child(std::env::args_os().skip(1))
}
