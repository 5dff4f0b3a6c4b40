//! A driver, the HAL, the controller: data arrives, whatever limits there are, and nothing is left.

mod dma_support;

use dma_support::driver;
use ntsim::world::DmaWorld;

#[test]
fn what_is_written_is_read() {
    let ((), report) = DmaWorld::new(&driver())
        .run(|stack| {
            let buffer = stack.buffer(64 << 10, 512);
            buffer.fill_with(|index| (index / 7) as u8);
            assert!(stack.write(4096, &buffer).send().wait().succeeded());
            let copy = stack.buffer(64 << 10, 1024);
            assert!(stack.read(4096, &copy).send().wait().succeeded());
            assert_eq!(copy.bytes(), buffer.bytes());
        })
        .expect("no bug check");
    assert_eq!(report.controller.succeeded, 2);
    assert_eq!(report.misuses, []);
}
