/*
 * A flood of connections that costs its sender little, so that what is measured is the server:
 *   flood PORT RATE SECONDS [HELLO]
 * Connects RATE times a second to that port of the loopback, from many of its addresses, and says the bytes of the
 * file HELLO, or nothing. Leaves with a reset at the server's first word, or after two seconds. Says how it went as one
 * line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Connections that may be open at once: this machine's own bound. */
#define MAX_OPEN 8000
#define MAX_FD 20000
#define PATIENCE 2.0

static char hello[65536];
static ssize_t hello_length;
static int epoll, open_now;
static double since[MAX_FD];
static char connected[MAX_FD];
static long begun, answered, refused, failed, gave_up, skipped;

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

static void leave(int fd) {
  struct linger reset = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
  since[fd] = 0;
  open_now--;
}

static void begin(int port) {
  unsigned long n = begun++;
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0 || fd >= MAX_FD) {
    if (fd >= 0) close(fd);
    failed++;
    return;
  }
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
  from.sin_addr.s_addr = htonl(0x7f000000u | (10 + n % 200) << 16 | (n / 8 % 250) << 8 | (1 + n % 250));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
      (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
    close(fd);
    failed++;
    return;
  }
  since[fd] = now();
  connected[fd] = 0;
  open_now++;
  struct epoll_event event = {.events = EPOLLOUT | EPOLLIN | EPOLLRDHUP, .data.fd = fd};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void happened(int fd, unsigned events) {
  char word[16];
  if (!connected[fd] && (events & EPOLLOUT) && !(events & (EPOLLERR | EPOLLHUP))) {
    connected[fd] = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
    if (hello_length > 0 && send(fd, hello, hello_length, MSG_NOSIGNAL) < 0) {
      refused++;
      leave(fd);
      return;
    }
  }
  if (events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
    ssize_t got = recv(fd, word, sizeof word, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got > 0) answered++;
    else refused++;
    leave(fd);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int port = atoi(argv[1]);
  double rate = atof(argv[2]), seconds = atof(argv[3]);
  if (argc > 4) {
    int file = open(argv[4], O_RDONLY);
    hello_length = read(file, hello, sizeof hello);
    if (hello_length <= 0) return 2;
    close(file);
  }
  struct rlimit files = {MAX_FD, MAX_FD};
  setrlimit(RLIMIT_NOFILE, &files);
  epoll = epoll_create1(0);
  struct epoll_event events[512];
  double started = now(), looked = started;
  double due = 0;
  while (now() - started < seconds) {
    for (double until = (now() - started) * rate; due < until; due++) {
      if (open_now < MAX_OPEN) begin(port);
      else skipped++;
    }
    int count = epoll_wait(epoll, events, 512, 1);
    for (int i = 0; i < count; i++) happened(events[i].data.fd, events[i].events);
    if (now() - looked < 0.1) continue;
    looked = now();
    for (int fd = 0; fd < MAX_FD; fd++) {
      if (since[fd] == 0 || looked - since[fd] < PATIENCE) continue;
      gave_up++;
      leave(fd);
    }
  }
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
  printf("{\"begun\":%ld,\"answered\":%ld,\"refused\":%ld,\"failed\":%ld,\"gave_up\":%ld,\"skipped\":%ld,\"cpu\":%.2f}\n",
         begun, answered, refused, failed, gave_up, skipped, cpu);
  return 0;
}
