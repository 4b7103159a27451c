"""What the black-box tests share: a broker as a process, clients, raw sockets."""
