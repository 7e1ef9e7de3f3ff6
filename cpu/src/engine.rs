//! The processor's engines, and the choice between them.

use crate::Cpu;

/// How instructions are executed. What they do does not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The interpreter: the reference.
    #[default]
    Interp,
    /// Compiled to host code.
    Jit,
}

impl Engine {
    /// The fastest engine that works on this host.
    pub fn best() -> Engine {
        #[cfg(jit)]
        if crate::jit::is_supported() {
            return Engine::Jit;
        }
        Engine::Interp
    }
}

/// The engine asked for does not exist on this host; says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported(pub String);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

impl Cpu {
    /// Use `engine` from now on. Nothing the program can see changes.
    ///
    /// # Errors
    /// This host has no such engine; the one in use stays.
    pub fn set_engine(&mut self, engine: Engine) -> Result<(), Unsupported> {
        match engine {
            #[cfg(jit)]
            Engine::Interp => self.stop_compiling(),
            #[cfg(not(jit))]
            Engine::Interp => {}
            #[cfg(jit)]
            Engine::Jit => {
                self.compile_with(crate::Mapping::default()).map_err(|e| Unsupported(e.to_string()))?;
            }
            #[cfg(not(jit))]
            Engine::Jit => {
                let arch = std::env::consts::ARCH;
                return Err(Unsupported(format!(
                    "no compiled engine for {arch} hosts yet: use the interpreter"
                )));
            }
        }
        self.attention = true;
        Ok(())
    }

    /// Compile a block when it is met for the `visits`-th time; 1 compiles everything. No part of the state.
    pub fn compile_after(&mut self, visits: u8) {
        #[cfg(jit)]
        if let Some(jit) = &mut self.jit {
            jit.warm = visits;
        }
        #[cfg(not(jit))]
        let _ = visits;
    }

    /// The engine in use.
    pub fn engine(&self) -> Engine {
        #[cfg(jit)]
        if self.jit.is_some() {
            return Engine::Jit;
        }
        Engine::Interp
    }
}
