//! Which processor learns.
//!
//! Nothing links libtorch's CUDA half: it needs 2.7 GB of libraries that a machine without an NVIDIA GPU has no use for. Where it
//! is wanted it is loaded into the process, and libtorch finds its GPU from then on.

use apprentice_cli::arguments::DeviceName;
use apprentice_cli::{CliError, Console};
use apprentice_core::BoxedError;
use std::ffi::{CStr, CString};
use std::path::Path;
use tch::{Cuda, Device};

/// Where the NVIDIA driver says that it is there.
const DRIVER: &str = "/proc/driver/nvidia/version";
/// The CUDA half of libtorch, found where this program finds the other half.
const LIBRARY: &str = "libtorch_cuda.so";

/// The device that the user asked for; with `auto`, the GPU where it can be used, and a remark where it nearly can.
///
/// # Errors
/// When CUDA is asked for and cannot be used.
pub fn choose(wanted: DeviceName, console: &Console) -> Result<Device, BoxedError> {
    let driver = Path::new(DRIVER).exists();
    match wanted {
        DeviceName::Cpu => Ok(Device::Cpu),
        DeviceName::Auto if !driver => Ok(Device::Cpu),
        DeviceName::Auto => Ok(cuda().unwrap_or_else(|reason| {
            console.say(&format!("CUDA is not used: {reason}; `cargo xtask setup --cuda` may mend it"));
            Device::Cpu
        })),
        DeviceName::Cuda => cuda().map_err(|reason| {
            let hint = if driver {
                "run `cargo xtask setup --cuda`, or leave out --device"
            } else {
                "install the NVIDIA driver and run `cargo xtask setup --cuda`, or leave out --device"
            };
            CliError::new(format!("CUDA cannot be used: {reason}"), hint).into()
        }),
    }
}

/// Load CUDA; the first GPU, or why there is none.
fn cuda() -> Result<Device, String> {
    load(LIBRARY)?;
    match Cuda::is_available() {
        true => Ok(Device::Cuda(0)),
        false => Err(format!("{LIBRARY} is loaded, but finds no NVIDIA driver or no GPU")),
    }
}

/// Load a library for good, with its symbols open to what is loaded already.
fn load(library: &str) -> Result<(), String> {
    let name = CString::new(library).map_err(|e| e.to_string())?;
    // SAFETY: `name` is a C string for the whole call; running the library's constructors is what is asked for.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: after a failed `dlopen`, `dlerror` gives a C string that lives until the next call on this thread.
    let reason = unsafe {
        let text = libc::dlerror();
        if text.is_null() { None } else { Some(CStr::from_ptr(text).to_string_lossy().into_owned()) }
    };
    Err(reason.unwrap_or_else(|| format!("{library} cannot be loaded")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let reason = load("libno_such_library.so").unwrap_err();
        assert!(reason.contains("libno_such_library.so"), "{reason}");
        assert!(load("libc.so.6").is_ok());
    }

    #[test]
    fn the_cpu_is_always_there_and_cuda_is_used_or_explained() {
        let console = Console::new(false, true);
        assert_eq!(choose(DeviceName::Cpu, &console).unwrap(), Device::Cpu);
        match choose(DeviceName::Cuda, &console) {
            Ok(device) => assert_eq!(device, Device::Cuda(0)),
            Err(error) => assert!(error.hint().is_some_and(|h| h.contains("setup --cuda")), "{error}"),
        }
    }
}
