/*
 * The subcommands of `fantail`. Each gets argv with its own name first, the connection options that
 * stood before the name moved behind it, and returns the exit code of the process.
 */
#ifndef FT_CLI_COMMAND_H
#define FT_CLI_COMMAND_H

/* What the process says when it ends; README.md and each --help document it for scripts. */
enum ft_exit {
    FT_EXIT_OK = 0,
    FT_EXIT_FAILED = 1,    /* the broker refused something, or reading or writing failed */
    FT_EXIT_USAGE = 2,     /* the command line is wrong */
    FT_EXIT_NO_BROKER = 3, /* no connection could be made */
    FT_EXIT_TIMED_OUT = 4  /* -W ended before -C was reached */
};

int ft_cmd_sub(int argc, char **argv);
int ft_cmd_pub(int argc, char **argv);
int ft_cmd_history(int argc, char **argv);
int ft_cmd_presence(int argc, char **argv);
int ft_cmd_nodes(int argc, char **argv);
int ft_cmd_sessions(int argc, char **argv);
int ft_cmd_token(int argc, char **argv);
int ft_cmd_apikey(int argc, char **argv);
int ft_cmd_demo(int argc, char **argv);
int ft_cmd_bench(int argc, char **argv);

#endif
