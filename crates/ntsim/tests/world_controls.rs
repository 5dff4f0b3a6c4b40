//! Device control requests of every kind, as they arrive at the device that they are sent to.

use ntsim::abi::{
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
};
use ntsim::port::Violation;
use ntsim::world::{Arrival, Control, Stack};
use ntsim::{StackKind, World};

const QUERY_PROPERTY: u32 = 0x002D_1400;
/// `CTL_CODE` of a device that nobody has, with method 0 in the low bits.
const UNKNOWN: u32 = 0x8000_2000;

/// Sends a request and gives it as it arrives at the top of the stack.
fn arrives(stack: &Stack, request: Control<'_>) -> Arrival {
    stack.watch(stack.top());
    let before = stack.arrivals(stack.top()).len();
    let done = request.send().wait();
    assert_eq!(done.irp.completions, 1);
    let mut arrivals = stack.arrivals(stack.top());
    assert_eq!(arrivals.len(), before + 1);
    arrivals.remove(before)
}

/// Output length, input length and code in the stack location.
fn lengths(arrival: &Arrival) -> (u64, u64, u64) {
    let word = |at: usize| arrival.parameters[at] & 0xFFFF_FFFF;
    (word(0), word(1), word(2))
}

#[test]
fn each_method_carries_its_buffers_in_its_own_way() {
    World::without_filter()
        .run(|stack| {
            let buffer = stack.buffer(10_000, 24);
            let buffered = arrives(stack, stack.ioctl(UNKNOWN, &[1, 2, 3], 40));
            assert_eq!(u32::from(buffered.major), IRP_MJ_DEVICE_CONTROL);
            assert_eq!(lengths(&buffered), (40, 3, u64::from(UNKNOWN)));
            assert_eq!((buffered.mdls, buffered.mode), (0, 0));

            let direct = stack.ioctl(UNKNOWN | 2, &[9; 12], 0).direct(&buffer);
            let direct = arrives(stack, direct.user_mode().flags(1).irp_flags(4));
            assert_eq!(lengths(&direct), (10_000, 12, u64::from(UNKNOWN | 2)));
            assert_eq!((direct.mdls, direct.mdl_bytes), (1, 10_000));
            assert_eq!((direct.page_offset, direct.span_pages), (24, 3));
            assert_eq!((direct.mode, direct.stack_flags), (1, 1));
            assert_eq!(direct.irp_flags, 4);

            let neither = stack.ioctl(UNKNOWN | 3, &[9; 12], 0).neither(&buffer);
            let neither = arrives(stack, neither);
            assert_eq!(lengths(&neither), (10_000, 12, u64::from(UNKNOWN | 3)));
            assert_eq!(neither.parameters[3], buffer.address().addr() as u64);
            assert_eq!(neither.mdls, 0);

            let wrong = stack.ioctl(UNKNOWN, &[9; 12], 0).lengths(1, 2);
            assert_eq!(lengths(&arrives(stack, wrong)), (2, 1, u64::from(UNKNOWN)));
        })
        .expect("no bug check");
}

#[test]
fn an_internal_request_is_scsi_to_a_port() {
    let ((), report) = World::without_filter()
        .run(|stack| {
            let request = stack.ioctl(UNKNOWN, &[], 0).internal();
            let arrival = arrives(stack, request.no_system_buffer());
            assert_eq!(u32::from(arrival.major), IRP_MJ_INTERNAL_DEVICE_CONTROL);
        })
        .expect("no bug check");
    assert_eq!(report.port.violations_of(Violation::Malformed), 1, "no SRB");
}

#[test]
fn the_port_keeps_the_code_of_what_it_is_asked() {
    World::without_filter()
        .stack(StackKind::Disk)
        .run(|stack| {
            let mut query = [0; 12];
            query[0] = 1;
            stack.port().forget_records();
            let asked = stack.ioctl(QUERY_PROPERTY, &query, 32).below_class();
            let done = asked.send().wait();
            assert_eq!(done.irp.status, STATUS_SUCCESS);
            assert_eq!(done.output.len() as u64, done.irp.information);
            assert!(done.buffer.len() >= 32, "{}", done.buffer.len());
            assert_eq!(done.buffer[..done.output.len()], done.output[..]);
            let unknown = stack.ioctl(UNKNOWN, &[], 8).send();
            let at = unknown.irp_address();
            assert_eq!(unknown.wait().irp.status, STATUS_INVALID_DEVICE_REQUEST);
            let records = stack.port().records();
            let codes: Vec<u32> = records.iter().map(|record| record.control_code).collect();
            assert_eq!(codes, [QUERY_PROPERTY, UNKNOWN]);
            assert_eq!(records[1].irp, at, "the class driver passes it on");
        })
        .expect("no bug check");
}

#[test]
fn what_lies_behind_a_reply_can_be_looked_at() {
    World::without_filter()
        .run(|stack| {
            let mut query = [0xEE; 64];
            query[..12].fill(0);
            query[0] = 1;
            let done = stack.ioctl(QUERY_PROPERTY, &query, 8).send().wait();
            assert_eq!((done.output.len(), done.buffer.len()), (8, 64));
            assert_eq!(done.buffer[12..], [0xEE; 52], "a header and no more");
        })
        .expect("no bug check");
}
