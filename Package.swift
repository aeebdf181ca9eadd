// swift-tools-version: 6.2
import PackageDescription

// Imports go down only: zerrow > Engine > Scheduler, Store, Catalog, Sandbox > SIPC, System > CArrow, CLinux.
// The arena (Sources/Arena) is a preload library in C that may need nothing but libc. The package manager would link the
// Swift runtime into it, so Sources/Arena/build compiles it.

// Preconditions say why they end the process in a release build too, and unsafe pointers are checked: what it costs is not to be measured.
let swift: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableExperimentalFeature("Lifetimes"),
    .unsafeFlags(["-assert-config", "Debug"]),
]

// fuzz/run sets it: what reads bytes from outside is then built with coverage counters, and with a program that libFuzzer drives.
let isFuzzing = Context.environment["ZERROW_FUZZ"] != nil
let fuzzed: [SwiftSetting] =
    isFuzzing ? [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library", "-enable-testing"])] : []

let package = Package(
    name: "zerrow",
    products: [
        .executable(name: "zerrow", targets: ["zerrow"]),
        .library(name: "zerrow_worker", type: .dynamic, targets: ["WorkerABI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        .target(name: "CArrow"),
        .target(name: "CLinux"),
        .target(name: "System", dependencies: ["CLinux"], swiftSettings: swift),
        .target(name: "SIPC", dependencies: ["CArrow", "System"], swiftSettings: swift + fuzzed),
        .target(
            name: "WorkerABI", dependencies: ["SIPC", "System", "CArrow"], exclude: ["export.map", "zerrow_worker.h"],
            swiftSettings: swift,
            linkerSettings: [
                // One self-contained object that a Python process loads in milliseconds; only the ABI is exported, so it
                // cannot clash with what the user's own packages load.
                .unsafeFlags([
                    "-static-stdlib", "-Xlinker", "--gc-sections",
                    "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/WorkerABI/export.map",
                ])
            ]),
        .target(name: "Sandbox", dependencies: ["System", "CLinux"], swiftSettings: swift),
        .target(name: "Store", dependencies: ["SIPC", "System"], swiftSettings: swift),
        .target(name: "Catalog", dependencies: ["System"], swiftSettings: swift + fuzzed),
        .target(name: "Scheduler", swiftSettings: swift),
        .target(
            name: "Engine", dependencies: ["Scheduler", "Store", "Catalog", "Sandbox", "SIPC", "System"],
            swiftSettings: swift + fuzzed),
        .target(name: "Terminal", swiftSettings: swift),
        .executableTarget(
            name: "zerrow",
            dependencies: [
                "Engine", "Catalog", "Terminal", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swift),
        .target(name: "SeededNumbers", path: "Tests/SeededNumbers", swiftSettings: swift),
        .testTarget(name: "SystemTests", dependencies: ["System", "CLinux"], swiftSettings: swift),
        .testTarget(
            name: "SIPCTests", dependencies: ["SIPC", "CArrow", "System"], exclude: ["golden"], swiftSettings: swift),
        .testTarget(name: "SandboxTests", dependencies: ["Sandbox", "System", "CLinux"], swiftSettings: swift),
        .testTarget(
            name: "StoreTests", dependencies: ["Store", "SIPC", "System", "SeededNumbers"], swiftSettings: swift),
        .testTarget(name: "CatalogTests", dependencies: ["Catalog", "System", "SeededNumbers"], swiftSettings: swift),
        .testTarget(name: "SchedulerTests", dependencies: ["Scheduler", "SeededNumbers"], swiftSettings: swift),
        .testTarget(name: "TerminalTests", dependencies: ["Terminal", "SeededNumbers"], swiftSettings: swift),
        .testTarget(name: "EngineTests", dependencies: ["Engine", "SeededNumbers"], swiftSettings: swift),
    ]
)

if isFuzzing {
    package.targets.append(
        .executableTarget(
            name: "zerrow-fuzz", dependencies: ["Engine", "Catalog", "Scheduler", "Store", "SIPC", "CArrow", "System"],
            path: "fuzz/Targets",
            swiftSettings: swift + fuzzed, linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])]))
}
