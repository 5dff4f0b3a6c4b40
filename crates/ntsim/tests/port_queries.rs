//! What the port says of its adapter and its unit: properties, capabilities, pass-through.

use ntsim::World;
use ntsim::abi::{
    SRB_FUNCTION_LOCK_QUEUE, SRB_FUNCTION_UNLOCK_QUEUE, STATUS_BUFFER_OVERFLOW,
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
    STATUS_IO_TIMEOUT, STATUS_NOT_SUPPORTED,
};
use ntsim::port::{AdapterReply, Completion, Disk, Hba};
use ntsim::world::{ControlDone, PendingControl, Stack};

const QUERY_PROPERTY: u32 = 0x002D_1400;
const GET_CAPABILITIES: u32 = 0x0004_1010;
const PASS_THROUGH: u32 = 0x0004_D004;

fn query(stack: &Stack, property: u32, room: usize) -> ControlDone {
    let mut input = property.to_le_bytes().to_vec();
    input.extend([0; 8]);
    stack.ioctl(QUERY_PROPERTY, &input, room).send().wait()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// `SCSI_PASS_THROUGH` with 255 bytes for data to the host, and 32 for sense behind it.
fn pass_through(stack: &Stack, cdb: &[u8], timeout: u32) -> PendingControl {
    let mut request = vec![0_u8; 56 + 32 + 255];
    request[0] = 56;
    request[6] = cdb.len() as u8;
    request[7] = 32;
    request[8] = 1;
    request[12..16].copy_from_slice(&255_u32.to_le_bytes());
    request[16..20].copy_from_slice(&timeout.to_le_bytes());
    request[24..32].copy_from_slice(&88_u64.to_le_bytes());
    request[32..36].copy_from_slice(&56_u32.to_le_bytes());
    request[36..36 + cdb.len()].copy_from_slice(cdb);
    let room = request.len();
    stack.ioctl(PASS_THROUGH, &request, room).send()
}

#[test]
fn the_adapter_descriptor_is_probed_in_two_steps() {
    World::without_filter()
        .hba(Hba::profile("virtio-scsi"))
        .run(|stack| {
            let header = query(stack, 1, 8);
            assert_eq!((header.irp.status, header.output.len()), (0, 8));
            assert_eq!(word(&header.output, 4), 32);
            let whole = query(stack, 1, 32).output;
            assert_eq!(word(&whole, 8), 8 << 20);
            assert_eq!(word(&whole, 12), 126);
            assert_eq!(
                (whole[24], whole[30]),
                (10, 1),
                "SAS, STORAGE_REQUEST_BLOCK"
            );
            assert_eq!(query(stack, 1, 4).irp.status, STATUS_BUFFER_TOO_SMALL);
            assert_eq!(query(stack, 1, 1024).irp.information, 32);
        })
        .expect("no bug check");
}

#[test]
fn an_adapter_may_answer_badly() {
    let answer = |reply, room| {
        World::without_filter()
            .hba(Hba::unlimited().adapter_reply(reply))
            .run(move |stack| query(stack, 1, room))
            .expect("no bug check")
            .0
    };
    let refused = answer(AdapterReply::Refused(STATUS_NOT_SUPPORTED), 32);
    assert_eq!(refused.irp.status, STATUS_NOT_SUPPORTED);
    let cut = answer(
        AdapterReply::Cut {
            length: 20,
            claims: 32,
        },
        32,
    );
    assert_eq!((cut.output.len(), word(&cut.output, 4)), (20, 32));
    let overflow = answer(AdapterReply::Overflow, 16);
    assert_eq!(
        (overflow.irp.status, overflow.output.len()),
        (STATUS_BUFFER_OVERFLOW, 16)
    );
}

#[test]
fn device_alignment_and_capabilities_agree_with_the_disk() {
    World::without_filter()
        .disk(
            Disk::memory(64, 512)
                .physical(4096, 1)
                .removable(true)
                .identity("Probe", "X42"),
        )
        .hba(Hba::profile("usb-bridge"))
        .run(|stack| {
            let device = query(stack, 0, 256).output;
            assert_eq!(device[10], 1, "RemovableMedia");
            assert_eq!(word(&device, 28), 7, "BusType");
            let serial = word(&device, 24) as usize;
            assert_eq!(&device[serial..serial + 4], b"X42\0");
            let alignment = query(stack, 6, 28).output;
            assert_eq!((word(&alignment, 16), word(&alignment, 20)), (512, 4096));
            let first = "block 1 begins a physical one, so block 0 is the eighth of one";
            assert_eq!(word(&alignment, 24), 7 * 512, "{first}");
            let capabilities = stack.ioctl(GET_CAPABILITIES, &[], 24).send().wait().output;
            assert_eq!(
                (word(&capabilities, 4), word(&capabilities, 8)),
                (64 << 10, 17)
            );
            assert_eq!(query(stack, 99, 64).irp.status, STATUS_NOT_SUPPORTED);
        })
        .expect("no bug check");
}

#[test]
fn pass_through_brings_inquiry_pages_and_sense() {
    World::without_filter()
        .disk(Disk::memory(64, 512).block_limits(128))
        .hba(Hba::unlimited().completion(Completion::Later(100..200)))
        .run(|stack| {
            let limits = pass_through(stack, &[0x12, 1, 0xB0, 0, 255, 0], 2).wait();
            assert_eq!(limits.irp.status, 0);
            assert_eq!(word(&limits.output, 12), 64, "DataTransferLength");
            assert_eq!(limits.output[88 + 8..88 + 12], [0, 0, 0, 128]);
            let unknown = pass_through(stack, &[0x12, 1, 0xC7, 0, 255, 0], 2).wait();
            assert_eq!(unknown.irp.status, 0);
            assert_eq!(
                (unknown.output[2], unknown.output[56 + 2]),
                (2, 5),
                "CHECK CONDITION"
            );
            let short = stack.ioctl(PASS_THROUGH, &[0; 10], 10).send().wait();
            assert_eq!(short.irp.status, STATUS_INVALID_PARAMETER);
        })
        .expect("no bug check");
}

#[test]
fn a_bridge_that_hangs_on_vital_product_data_times_out() {
    World::without_filter()
        .hba(Hba::profile("usb-bridge"))
        .run(|stack| {
            let before = stack.machine().now();
            let hung = pass_through(stack, &[0x12, 1, 0, 0, 255, 0], 2).wait();
            assert_eq!(hung.irp.status, STATUS_IO_TIMEOUT);
            let passed = stack.machine().now() - before;
            assert!(
                (20_000_000..20_001_000).contains(&passed),
                "two seconds, not {passed}"
            );
            assert_eq!(
                pass_through(stack, &[0x12, 0, 0, 0, 36, 0], 2)
                    .wait()
                    .irp
                    .status,
                0
            );
        })
        .expect("no bug check");
}

#[test]
fn pass_through_waits_for_a_locked_queue() {
    World::without_filter()
        .run(|stack| {
            stack.srb_function(SRB_FUNCTION_LOCK_QUEUE).send().wait();
            let waiting = pass_through(stack, &[0x12, 0, 0, 0, 36, 0], 2);
            stack.idle();
            assert!(!waiting.is_done());
            stack.srb_function(SRB_FUNCTION_UNLOCK_QUEUE).send().wait();
            assert_eq!(waiting.wait().irp.status, 0);
        })
        .expect("no bug check");
}

#[test]
fn an_unknown_control_code_is_refused() {
    World::without_filter()
        .run(|stack| {
            let done = stack.ioctl(0x0012_3456, &[], 8).send().wait();
            assert_eq!(done.irp.status, STATUS_INVALID_DEVICE_REQUEST);
        })
        .expect("no bug check");
}
