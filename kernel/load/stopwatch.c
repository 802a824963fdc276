/*
 * Runs one command, without its output, and says what it took, in seconds of wall clock, user and system time and in ticks:
 *
 *   stopwatch INPUT COMMAND [ARGUMENT...]      INPUT: the file that the command reads as its standard input
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "samples.h"

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

int main(int count, char **words) {
  if (count < 3) return fprintf(stderr, "usage: stopwatch INPUT COMMAND [ARGUMENT...]\n"), 2;
  int input = open(words[1], O_RDONLY | O_CLOEXEC), output = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (input < 0 || output < 0) return perror(words[1]), 2;
  uint64_t ticks = read_clock(CLOCK_TICKS), begin = read_clock(CLOCK_NANOSECONDS);
  pid_t child = fork();
  if (child < 0) return perror("fork"), 2;
  if (child == 0) {
    dup2(input, 0);
    dup2(output, 1);
    execvp(words[2], words + 2);
    perror(words[2]);
    _exit(127);
  }
  int status;
  struct rusage used;
  if (wait4(child, &status, 0, &used) < 0) return perror("wait4"), 2;
  double wall = (double)(read_clock(CLOCK_NANOSECONDS) - begin) / 1e9;
  ticks = read_clock(CLOCK_TICKS) - ticks;
  int ended = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  /* What failed has no time. */
  if (ended != 0) return fprintf(stderr, "%s ended with %d\n", words[2], ended), ended;
  printf("{\"what\":\"command\",\"wall\":%.6f,\"user\":%.6f,\"sys\":%.6f,\"ticks\":%llu}\n", wall, seconds(used.ru_utime), seconds(used.ru_stime),
         (unsigned long long)ticks);
  return 0;
}
