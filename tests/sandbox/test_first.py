def test_hello(sandbox):
    def hello():
        import os

        return [os.getpid(), os.getuid(), os.listdir("/"), os.listdir("/proc/self/fd")]

    print(sandbox.run(hello))
