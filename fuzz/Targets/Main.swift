import Glibc
import System

// libFuzzer's entry: the target that ZERROW_FUZZ_TARGET names reads each input.

/// All that reads bytes from outside, by name.
private let targets: [String: @Sendable ([UInt8]) -> Void] = [
    "arrow-file": fuzzArrowFile,
    "catalog": fuzzCatalog,
    "channel": fuzzChannel,
    "client": fuzzClient,
    "descriptor": fuzzDescriptor,
    "json": fuzzJSON,
    "lines": fuzzLines,
    "planner": fuzzPlanner,
    "questions": fuzzQuestions,
    "server": fuzzServer,
    "worker": fuzzWorker,
    "zygote": fuzzZygote,
]

private let target: @Sendable ([UInt8]) -> Void = {
    let name = getenv("ZERROW_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    guard let target = targets[name] else {
        fatalError("ZERROW_FUZZ_TARGET is '\(name)', and none of \(targets.keys.sorted())")
    }
    return target
}()

/// One input of libFuzzer.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    target(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}

// The C function of libFuzzer that runs a fuzzing session; Swift has no header for it, and on the platforms that zerrow runs on
// the two calling conventions agree for pointers and integers.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// The package manager makes the program begin with a function of this name.
@_cdecl("zerrow_fuzz_main")
public func fuzzMain(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
    var count = count
    var arguments = arguments
    return runDriver(&count, &arguments, fuzzOneInput)
}
